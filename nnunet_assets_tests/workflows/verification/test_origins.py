"""Which result a table is of."""

from pathlib import Path

import pytest

from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.known_results import KnownResult, known_results
from nnunet_assets.workflows.verification.opened_files import OpenedFile, open_file
from nnunet_assets.workflows.verification.origins import differences_of, origin_of
from nnunet_assets_tests.verification_builders import EXPERIMENT, exported_files


def unnamed(whole: Settings, tmp_path: Path, *edits: tuple[str, str]) -> Path:
    text = exported_files(whole)["cv_table.csv"].read_text()
    text = "\n".join(line.rpartition(",")[0] for line in text.splitlines())
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "table.csv"
    file.write_text(text)
    return file


def test_one_that_names_its_source_is_held_against_that(whole: Settings) -> None:
    origin = origin_of(open_file(exported_files(whole)["cv_table.md"]), known_results(whole.roots))
    assert (origin.result.experiment, origin.export, origin.is_named) == (EXPERIMENT, "cv_table.md", True)
    assert origin.differences == []


def test_one_that_names_none_is_that_which_says_the_same(whole: Settings, tmp_path: Path) -> None:
    origin = origin_of(open_file(unnamed(whole, tmp_path)), known_results(whole.roots))
    assert (origin.result.experiment, origin.export, origin.is_named) == (EXPERIMENT, "cv_table.csv", False)


def test_an_edited_one_is_that_from_which_it_differs_least(whole: Settings, tmp_path: Path) -> None:
    file = unnamed(whole, tmp_path, ("organ,dice,0.5,", "organ,dice,0.7,"))
    origin = origin_of(open_file(file), known_results(whole.roots))
    assert origin.result.experiment == EXPERIMENT
    assert [one.found for one in origin.differences] == ["0.7"]


def test_another_table_is_of_none(whole: Settings, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("a,b,c\n1,2,3\n")
    assert origin_of(open_file(file), known_results(whole.roots)) is None
    assert differences_of([["a"]], [], "csv") == []


class Made(KnownResult):
    """A result that is written as these tables, and nothing else."""

    def __init__(self, digest: str, exports: dict[str, str], *, is_current: bool = True) -> None:
        super().__init__("gap", "D", None, {}, Path("gap.json"), is_current)
        self.__dict__["digest"] = digest
        self.__dict__["exports"] = {name: text.encode for name, text in exports.items()}


def table(*rows: str, sources: frozenset[str] = frozenset()) -> OpenedFile:
    return OpenedFile(Path("x.csv"), "csv", sources=sources, rows=[row.split(",") for row in rows])


ROWS = ("name,a,b,c", "x,1,2,3", "y,4,5,6")


def lines(*rows: str) -> str:
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("row", "is_of_it"), [("x,1,2,3", True), ("x,9,2,3", True), ("x,9,9,9", True), ("x,9,9,9,9", False)]
)
def test_a_quarter_of_the_cells_may_differ_and_no_more(row: str, is_of_it: bool) -> None:
    opened = table(ROWS[0], row, ROWS[2])
    origin = origin_of(opened, [Made("1", {"gap.csv": lines(*ROWS)})])
    assert (origin is not None) is is_of_it


def test_of_several_the_one_that_differs_least_and_of_equal_ones_the_first() -> None:
    opened = table(ROWS[0], "x,9,2,3", ROWS[2])
    rows = {"1": "x,8,8,3", "2": ROWS[1], "3": "x,7,2,3"}
    far, near, equal = (Made(digest, {"gap.csv": lines(ROWS[0], row, ROWS[2])}) for digest, row in rows.items())
    origin = origin_of(opened, [far, near, equal])
    assert (origin.result.digest, len(origin.differences)) == ("2", 1)
    same = Made("4", {"gap.csv": lines(ROWS[0], "x,9,2,3", ROWS[2])})
    origin = origin_of(opened, [near, same, Made("5", {"gap.csv": lines(ROWS[0], "x,9,2,3", ROWS[2])})])
    assert (origin.result.digest, origin.is_named, origin.differences) == ("4", False, [])


def test_one_that_is_named_is_it_however_much_differs_and_the_current_one_of_two_before_the_earlier() -> None:
    opened = table(ROWS[0], "x,9,9,9", "y,9,9,9", sources=frozenset({"1"}))
    exports = {"gap.csv": lines(*ROWS)}
    earlier, now, other = Made("1", exports, is_current=False), Made("1", exports), Made("2", exports)
    origin = origin_of(opened, [other, earlier, now])
    assert (origin.result is now, origin.is_named, len(origin.differences)) == (True, True, 6)
    fewer = Made("1", {"gap.csv": lines(ROWS[0], "x,9,9,9", ROWS[2])}, is_current=False)
    assert origin_of(opened, [now, fewer]).result is fewer
    assert origin_of(opened, [Made("1", {"gap.md": "x"}), other]) is None


def test_only_tables_of_its_kind_are_looked_at() -> None:
    opened = table(*ROWS)
    exports = {"gap.md": "| x |", "a.csv": lines("n", "1"), "gap.csv": lines(*ROWS)}
    assert origin_of(opened, [Made("1", exports)]).export == "gap.csv"
