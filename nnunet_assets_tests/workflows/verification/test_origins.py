"""Which result a table is of."""

from pathlib import Path

from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.known_results import known_results
from nnunet_assets.workflows.verification.opened_files import open_file
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
