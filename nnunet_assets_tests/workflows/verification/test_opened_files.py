"""What is read of a file, whatever its name."""

from pathlib import Path

import pytest

from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.opened_files import KINDS, open_file, table_rows
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


@pytest.mark.parametrize("content", [b"", b"\0\1", b"hello"])
def test_what_is_of_no_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    from nnunet_assets.errors import VerificationError

    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(VerificationError, match="is of no kind that can be verified"):
        open_file(file)
