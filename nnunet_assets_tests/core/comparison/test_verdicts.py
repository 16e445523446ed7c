"""Which experiment is the best of a comparison, and which others are not told from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.comparison.comparison import Comparison
from nnunet_assets.core.comparison.comparison_files import read_comparison
from nnunet_assets.core.comparison.verdicts import verdicts
from nnunet_assets_tests.core.comparison.test_comparison import FIRST, compared, experiment, foreground

BETTER = [score + 0.01 * (1 + k) for k, score in enumerate(FIRST)]
# Better in four cases, worse in four: no test tells it from FIRST.
OTHER = [score + 0.01 * (1 + k) * (-1) ** k for k, score in enumerate(FIRST)]


def of_foreground(comparison: Comparison) -> dict[str, str]:
    return {name: verdict for (name, label), verdict in verdicts(comparison, "dice").items() if label is None}


def test_the_best_what_is_worse_and_what_is_not_told_from_it() -> None:
    found = compared(experiment("worse", FIRST), experiment("best", BETTER), experiment("close", [*BETTER[:7], 0.9]))
    # `close` differs from the best in one case alone.
    assert of_foreground(found) == {"worse": "worse", "best": "best", "close": "not_worse"}
    found = compared(experiment("other", OTHER), experiment("first", FIRST))
    assert of_foreground(found) == {"other": "not_worse", "first": "best"}
    few = compared(experiment("low", FIRST[:5]), experiment("best", BETTER[:5]))
    assert of_foreground(few) == {"low": "not_tested", "best": "best"}


def test_equal_means_share_the_first_place_and_repeats_are_not_tested() -> None:
    same = compared(experiment("one", BETTER), experiment("same", BETTER), experiment("low", FIRST))
    assert of_foreground(same) == {"one": "best", "same": "best", "low": "worse"}
    repeats = compared(experiment("one", BETTER), experiment("low", FIRST), repeats=[frozenset({"one", "low"})])
    assert of_foreground(repeats) == {"one": "best", "low": "not_tested"}


@pytest.mark.parametrize(("p_corrected", "verdict"), [(0.0499, "worse"), (0.05, "not_worse")])
def test_the_level_is_five_percent_after_the_correction(p_corrected: float, verdict: str) -> None:
    found = compared(experiment("low", FIRST), experiment("best", BETTER))
    found = replace(found, differences=tuple(replace(one, p_corrected=p_corrected) for one in found.differences))
    assert of_foreground(found)["low"] == verdict


def test_a_model_that_fails_where_another_is_undefined_is_worse_however_good_it_is_elsewhere() -> None:
    """Ten of twenty cases hold a lesion; `odd` draws all of these better, and one into each of the others."""
    good = {"organ": [0.9] * 20, "lesion": [0.8, None] * 10}
    odd = {"organ": [0.905] * 20, "lesion": [0.805, 0.0] * 10}
    found = compared(experiment("good", good), experiment("odd", odd))
    (difference,) = foreground(found)
    assert difference.mean == pytest.approx(0.85 - (0.905 + 0.4025) / 2)
    assert of_foreground(found) == {"good": "best", "odd": "worse"}


def test_an_undefined_mean_has_no_verdict() -> None:
    found = verdicts(compared(experiment("one", [0.0] * 8), experiment("none", [None] * 8)), "dice")
    # What draws a label that is nowhere is no best one.
    assert found == {("one", "A"): "not_tested", ("one", None): "not_tested"}


OLDER = Path(__file__).parents[2] / "data" / "comparison_1.json"


def test_a_comparison_of_version_1_is_read_and_its_tests_judge_no_mean() -> None:
    """As version a111b7a wrote it of two experiments: a better one and one that hallucinates, and yet is ahead."""
    found = read_comparison(OLDER)
    (difference,) = [one for one in found.differences if one.label is None and one.metric == "dice"]
    assert found.schema == 1
    assert difference.mean is not None
    assert difference.mean < 0
    assert difference.is_significant
    assert (difference.effect, difference.n_left_better) == (-1.0, None)
    assert of_foreground(found) == {"good": "best", "hallucinates": "not_tested"}
    assert "good has the highest Dice (0.860), not told apart from hallucinates" in found.headline()
