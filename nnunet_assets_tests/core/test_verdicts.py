"""Which experiment is the best of a comparison, and which others are not told from it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.comparison import Comparison, compare
from nnunet_assets.core.comparison_files import read_comparison
from nnunet_assets.core.verdicts import verdicts
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.core.test_comparison import FIRST, compared, contender, foreground

BETTER = [score + 0.01 * (1 + k) for k, score in enumerate(FIRST)]
# Better in four cases, worse in four: no test tells it from FIRST.
OTHER = [score + 0.01 * (1 + k) * (-1) ** k for k, score in enumerate(FIRST)]


def of_foreground(comparison: Comparison) -> dict[str, str]:
    return {name: verdict for (name, label), verdict in verdicts(comparison, "dice").items() if label is None}


def test_the_best_what_is_worse_and_what_is_not_told_from_it() -> None:
    found = compared(contender("worse", FIRST), contender("best", BETTER), contender("close", [*BETTER[:7], 0.9]))
    # `close` differs from the best in one case alone: there is no test.
    assert of_foreground(found) == {"worse": "worse", "best": "best", "close": "not_tested"}
    found = compared(contender("other", OTHER), contender("first", FIRST))
    assert of_foreground(found) == {"other": "not_worse", "first": "best"}


def test_equal_means_share_the_first_place_and_repeats_are_not_tested() -> None:
    same = compared(contender("one", BETTER), contender("same", BETTER), contender("low", FIRST))
    assert of_foreground(same) == {"one": "best", "same": "best", "low": "worse"}
    repeats = compared(contender("one", BETTER), contender("low", FIRST), repeats=[frozenset({"one", "low"})])
    assert of_foreground(repeats) == {"one": "best", "low": "not_tested"}


@pytest.mark.parametrize(("p_holm", "verdict"), [(0.0499, "worse"), (0.05, "not_worse")])
def test_the_level_is_five_percent_after_the_correction(p_holm: float, verdict: str) -> None:
    found = compared(contender("low", FIRST), contender("best", BETTER))
    found = replace(found, differences=tuple(replace(one, p_holm=p_holm) for one in found.differences))
    assert of_foreground(found)["low"] == verdict


def test_a_difference_that_speaks_against_the_best_makes_no_other_one_worse() -> None:
    # In eight cases `other` is ahead, by 0.045; in two more, which it does not define, the best has its best scores.
    ahead = compared(contender("best", [*FIRST, 1.0, 1.0]), contender("other", [*BETTER, None, None]))
    (difference,) = foreground(ahead)
    assert difference.p_holm == pytest.approx(2 / 256)
    assert of_foreground(ahead) == {"best": "best", "other": "not_worse"}


def test_an_undefined_mean_has_no_verdict() -> None:
    found = verdicts(compared(contender("one", FIRST), contender("none", [None] * 8)), "dice")
    assert found == {("one", "A"): "best", ("one", None): "best"}


def test_the_spread_of_a_standing_is_that_over_the_cases_and_of_their_foreground_means() -> None:
    left = contender("left", {"A": [0.2, 0.4, None], "B": [0.6, 0.6, 0.9]})
    right = contender("right", {"A": [0.5, None, None], "B": [0.1, 0.2, 0.3]})
    found = {(one.experiment, one.label): one.sd for one in compared(left, right).standings}
    assert found["left", "A"] == pytest.approx(0.2 / 2**0.5)
    # The cases' means: 0.4, 0.5 and 0.9.
    assert found["left", None] == pytest.approx((0.07) ** 0.5)
    assert found["right", "A"] is None


def written(folder: Path, comparison: Comparison) -> Path:
    file = folder / "comparison.json"
    file.write_text(json.dumps(comparison.to_json()))
    return file


def test_a_comparison_reads_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    sets = [frozenset({"a", "b"})]
    found = compared(contender("a", FIRST), contender("b", OTHER), contender("c", BETTER), repeats=sets)
    assert found.noise
    assert read_comparison(written(tmp_path, found)) == found
    alone = compare("Dataset001_X", [contender("a", FIRST)], {"b": "its summary is incomplete"})
    assert read_comparison(written(tmp_path, alone)) == alone


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not valid JSON"),
        ('{"schema_version": 7}', "schema 7 in place of 1"),
        ('{"schema_version": 1}', "is not as this version writes it"),
        ("[]", "is not as this version writes it"),
    ],
)
def test_a_file_that_is_none_says_what_to_do(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(SummaryError, match=rf"{sentence}.*Materialize comparison again\."):
        read_comparison(tmp_path / "comparison.json")
    with pytest.raises(SummaryError, match=r"is missing. Materialize comparison first\."):
        read_comparison(tmp_path / "no.json")


def test_a_comparison_of_an_older_version_is_made_anew(tmp_path: Path) -> None:
    found = compared(contender("a", FIRST), contender("b", BETTER))
    content = found.to_json()
    for standing in content["standings"]:
        del standing["sd"]
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(SummaryError, match="Materialize comparison again"):
        read_comparison(tmp_path / "comparison.json")
