"""What is read of a file, whatever its name."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.errors import VerificationError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification import opened_files
from nnunet_assets.workflows.verification.opened_files import KINDS, OpenedFile, open_file, table_rows
from nnunet_assets_tests.verification_builders import exported_files


def test_a_kind_is_told_from_the_content(whole: Settings, tmp_path: Path) -> None:
    for name, file in exported_files(whole).items():
        copy = tmp_path / "published"
        copy.write_bytes(file.read_bytes())
        opened = open_file(copy)
        assert (opened.kind, opened.torn) == (name.rpartition(".")[2], ""), name
    assert set(KINDS) >= {name.rpartition(".")[2] for name in exported_files(whole)}


def test_a_seal_names_source_and_content(whole: Settings) -> None:
    for name in ("cv_table.tex", "cv_table.md", "cv_table.parquet", "cv_report.html", "mean_dice.svg", "mean_dice.png"):
        opened = open_file(exported_files(whole)[name])
        assert opened.seal.export == name
        assert opened.seal.content == opened.digest
        assert opened.sources == {opened.seal.source}


def test_a_csv_names_its_source_in_each_row(whole: Settings) -> None:
    files = exported_files(whole)
    opened = open_file(files["cv_table.csv"])
    assert opened.sources == open_file(files["cv_table.tex"]).sources
    assert "made_from" not in opened.rows[0]


def test_csv_and_parquet_of_one_table_have_the_same_rows(whole: Settings) -> None:
    files = exported_files(whole)
    one, other = (table_rows(files[f"cv_table.{kind}"].read_bytes(), kind) for kind in ("csv", "parquet"))
    assert [list(row) for row in one] == [list(row) for row in other]


SOURCES = ("a" * 64, "b" * 64)
FAR = b"words\n" * 1000


def seal_line(source: str, export: str = "cv_table.tex") -> str:
    return Sealing("Dataset001_Tiny", source, "0.2.0").seal(export, "c" * 64).text()


def written(folder: Path, content: bytes, name: str = "published") -> OpenedFile:
    file = folder / name
    file.write_bytes(content)
    return open_file(file)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\1", b"hello", b"a,b\n1,2\n", b"a\n1,2,3\n", b"a,b,c\0\n", b"words | --: | words", b"\\end{table}"],
)
def test_what_is_of_no_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(VerificationError, match="is of no kind that can be verified"):
        written(tmp_path, content)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("x", b"a,b,c\n1,2,3\n", "csv"),
        ("x", "\ufeffa,b,c\n".encode(), "csv"),
        ("x", "a,b,c\n".encode("utf-16"), "csv"),
        ("x", "\ufeffa,b,c\n".encode("utf-16-be"), "csv"),
        ("x.TSV", b"hello", "csv"),
        ("x.Markdown", b"hello", "md"),
        ("x.csv", b'  {"a": 1}', "json"),
        ("x", b"[1]", "json"),
        ("x", b"  <!DOCTYPE HTML><p>", "html"),
        ("x", b"<html>", "html"),
        ("x.txt", b'<?xml version="1.0"?>\n<svg></svg>', "svg"),
        ("x.md", b"<p><svg></svg>", "svg"),
        ("x.csv", b"PAR1", "parquet"),
        ("x", b"PK\x03\x04", "package"),
        ("x", b"\\begin{table}", "tex"),
        ("x", FAR + f"% {seal_line(SOURCES[0])}".encode(), "tex"),
        ("x", b"| a |\n| :-- |", "md"),
        ("x", FAR + f"<!-- {seal_line(SOURCES[0])} -->".encode(), "md"),
        ("x", b"<!-- nnunet_assets: export=\na,b,c", "md"),
        ("x", b"\\begin{x}\n| :-- |", "tex"),
    ],
)
def test_the_first_bytes_tell_the_kind_then_the_ending_then_marks_of_a_text(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    assert written(tmp_path, content, name).kind == kind


def test_an_svg_that_begins_late_is_none(tmp_path: Path) -> None:
    assert written(tmp_path, b"<svg".rjust(4096, b"-")).kind == "svg"
    with pytest.raises(VerificationError, match="of no kind"):
        written(tmp_path, b"<svg".rjust(4097, b"-"))
    with pytest.raises(VerificationError, match="of no kind"):
        written(tmp_path, FAR + b"<svg></svg>")
    with pytest.raises(VerificationError, match="of no kind"):
        written(tmp_path, FAR + b"\\begin{table}")


@pytest.mark.parametrize(
    ("name", "content", "torn"),
    [
        ("x.json", b"[1]", "it holds no JSON object"),
        ("x.json", b'{"a": ', "Expecting value"),
        ("x.json", b'{"a":' + b"[" * 100_000, "nested too deep"),
        ("x.png", b"\x89PNG", "it does not begin as a PNG"),
        ("x.csv", b'a,b\n"x,1\n', "no CSV"),
        ("x.md", b"\xe4", "can't decode byte 0xe4"),
    ],
)
def test_what_is_torn_says_why(tmp_path: Path, name: str, content: bytes, torn: str) -> None:
    opened = written(tmp_path, content, name)
    assert torn in opened.torn
    assert (opened.rows, opened.content, opened.seal) == ((), None, None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_is_read_in_whatever_encoding_a_spreadsheet_saves_it(tmp_path: Path, encoding: str) -> None:
    assert written(tmp_path, "a,ä,c\n".encode(encoding), "x.csv").rows == [["a", "ä", "c"]]


def test_a_column_that_names_the_source_is_none_of_the_rows(tmp_path: Path) -> None:
    text = f"a,made_from,b\n1,sha256:{SOURCES[0]},2\n3,sha256:{SOURCES[1]},4\n5\n6,none,7\n"
    opened = written(tmp_path, text.encode(), "x.csv")
    assert opened.rows == [["a", "b"], ["1", "2"], ["3", "4"], ["5"], ["6", "7"]]
    assert opened.sources == set(SOURCES)
    assert table_rows(text.encode(), "csv") == opened.rows


def test_a_csv_without_that_column_may_have_seals_in_its_cells(tmp_path: Path) -> None:
    assert written(tmp_path, f"a,b,c\n1,2,{seal_line(SOURCES[0])}\n".encode()).sources == {SOURCES[0]}
    empty = written(tmp_path, b"", "x.csv")
    assert (empty.rows, empty.sources, empty.torn) == ([], frozenset(), "")


def test_several_exports_in_one_text_have_no_seal_in_common(tmp_path: Path) -> None:
    tables = [f"% {seal_line(source)}\n\\begin{{table}}\n1 & 2 \\\\\n\\end{{table}}\n" for source in SOURCES]
    one, both = (written(tmp_path, text.encode(), "x.tex") for text in (tables[0], "".join(tables)))
    assert (one.parts, one.seal) == ((), one.seals[0])
    assert one.sources == {SOURCES[0]}
    assert (both.seal, len(both.seals), both.sources) == (None, 2, set(SOURCES))
    assert [part.sources for part in both.parts] == [{SOURCES[0]}, {SOURCES[1]}]
    assert both.parts[0].rows == one.rows == [["\\begin{table} 1", "2"], ["\\end{table}"]]


def test_cells_of_parquet_are_text_as_a_csv_has_it() -> None:
    import pyarrow

    rows = opened_files._parquet_rows(pyarrow.table({"a": ["x", None], "b": [1.5, None], "c": [[1, 2], []]}))
    assert rows == [["a", "b", "c"], ["x", "1.5", "[1, 2]"], ["", "", "[]"]]


def test_a_folder_is_a_package_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"is a folder without model\.json"):
        open_file(tmp_path)
    (tmp_path / "model.json").write_text("{}")
    assert open_file(tmp_path).kind == "package"


def test_what_is_too_large_or_not_to_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened_files, "MOST_BYTES", 2_000_000)
    table = b"a,b,c\n".ljust(2_000_000, b"\n")
    assert written(tmp_path, table).rows[0][:2] == ["a", "b"]
    # Of a zip only the first bytes are looked at.
    assert written(tmp_path, b"PK\x03\x04".ljust(2_000_001), "x.ZIP").kind == "package"
    with pytest.raises(VerificationError, match="has 3 MB; no export of more than 2 MB is read"):
        written(tmp_path, table + b"\n" * 1_000_000)
    with pytest.raises(VerificationError, match="There is no file"):
        open_file(tmp_path / "nowhere")

    def refused(path: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(opened_files, "open_regular", refused)
    with pytest.raises(VerificationError, match=r"cannot be read: Permission denied\."):
        written(tmp_path, table)
