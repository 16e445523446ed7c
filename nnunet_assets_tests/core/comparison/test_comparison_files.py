"""A comparison read back from its file, of this version or the one before."""

import json
from pathlib import Path

import pytest

from nnunet_assets.core.comparison.comparison import Comparison, compare
from nnunet_assets.core.comparison.comparison_files import read_comparison
from nnunet_assets.core.comparison.verdicts import verdicts
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.core.comparison.test_comparison import FIRST, SECOND, compared, experiment

BETTER = [score + 0.01 * (1 + k) for k, score in enumerate(FIRST)]
OLDER = Path(__file__).parents[2] / "data" / "comparison_1.json"
"""As version a111b7a wrote it of two experiments."""


def written(folder: Path, comparison: Comparison) -> Path:
    file = folder / "comparison.json"
    file.write_text(json.dumps(comparison.to_json()))
    return file


def test_a_comparison_reads_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    sets = [frozenset({"a", "b"})]
    found = compared(experiment("a", FIRST), experiment("b", SECOND), experiment("c", BETTER), repeats=sets)
    assert found.noise
    assert read_comparison(written(tmp_path, found)) == found
    alone = compare("Dataset001_X", [experiment("a", FIRST)], {"b": "its summary is incomplete"})
    assert read_comparison(written(tmp_path, alone)) == alone


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not valid JSON"),
        ('{"schema_version": 7}', "schema 7 in place of 2"),
        ('{"schema_version": 1}', "is not as this version writes it"),
        ('{"schema_version": 2}', "is not as this version writes it"),
        ("[]", "is not as this version writes it"),
    ],
)
def test_a_file_that_is_none_says_what_to_do(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(SummaryError, match=rf"{sentence}.*Materialize comparison again\."):
        read_comparison(tmp_path / "comparison.json")
    with pytest.raises(SummaryError, match=r"is missing. Materialize comparison first\."):
        read_comparison(tmp_path / "no.json")


def test_a_file_that_lacks_something_is_made_anew(tmp_path: Path) -> None:
    content = compared(experiment("a", FIRST), experiment("b", BETTER)).to_json()
    for standing in content["standings"]:
        del standing["sd"]
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(SummaryError, match="Materialize comparison again"):
        read_comparison(tmp_path / "comparison.json")


def test_a_comparison_without_tests_has_no_interval_and_says_nothing_of_halves(tmp_path: Path) -> None:
    few = compared(experiment("a", FIRST[:5]), experiment("b", SECOND[:5]))
    found = read_comparison(written(tmp_path, few))
    assert found == few
    assert [one.interval for one in found.differences] == [None, None]
    content = {**few.to_json(), "bootstrap": None}
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    assert read_comparison(tmp_path / "comparison.json").bootstrap is None


def test_verdicts_are_those_of_the_comparison_that_was_written(tmp_path: Path) -> None:
    found = compared(experiment("a", FIRST), experiment("b", SECOND), experiment("c", BETTER))
    assert verdicts(read_comparison(written(tmp_path, found)), "dice") == verdicts(found, "dice")


def test_of_an_older_version_the_tests_have_the_names_of_now() -> None:
    content = json.loads(OLDER.read_text())
    found = read_comparison(OLDER)
    assert found.schema == 1
    assert found.diagonal_mm is None
    for older, one in zip(content["differences"], found.differences, strict=True):
        assert (one.p_corrected, one.effect, one.mean) == (older["p_holm"], older["rank_biserial"], older["mean"])
        assert (one.n_left_better, one.n_right_better) == (None, None)
