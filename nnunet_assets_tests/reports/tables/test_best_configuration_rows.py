"""The numbers of a choice as people see them: the one to expect comes first."""

from dataclasses import replace
from typing import Any

from nnunet_assets.core.selection.best_configuration import BestConfiguration, Candidate, ExpectedScore
from nnunet_assets.core.selection.postprocessing import StepEffect
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.reports.tables.best_configuration_rows import (
    candidate_numbers,
    candidate_records,
    choice_tiles,
    step_numbers,
    step_records,
)

FIRST = Candidate("a__b__2d", "a__b__2d", ("a__b__2d",), (), 0.87, 20, 0.0, None, False, 2**20)
SECOND = replace(FIRST, name="a__b__3d", mean=0.86, behind=0.01, behind_interval=Interval(-0.01, 0.03))
EXPECTED = ExpectedScore(0.864, 0.863, Interval(0.85, 0.88), {"fold_0": FIRST.name, "fold_1": SECOND.name})
CHOICE = BestConfiguration("Dataset001_Tiny", (FIRST, SECOND), FIRST.name, EXPECTED, None, {}, 10, 10)


def shown(found: BestConfiguration) -> dict[str, str]:
    return {tile["meaning"]: tile["number"] for tile in choice_tiles(found)}


def test_the_number_to_expect_stands_before_the_one_that_was_chosen_by() -> None:
    assert list(shown(CHOICE).items()) == [
        ("Dice to expect, 95 % interval 0.850 to 0.880", "0.864"),
        ("the mean by which it was chosen among 2", "0.870"),
        ("by how much that mean is too good", "+0.006"),
        ("choose it, where one fold each is left out", "1 of 2"),
    ]
    assert [one["taken"] for one in candidate_records(CHOICE)] == ["yes", ""]


def test_what_is_not_known_is_not_shown() -> None:
    alone = replace(CHOICE, candidates=(FIRST,), expected=replace(EXPECTED, interval=None, chosen_without={}))
    assert shown(alone) == {"Dice to expect": "0.864", "its mean, the only candidate's": "0.870"}
    unknown = replace(CHOICE, candidates=(replace(FIRST, mean=None), SECOND), expected=None, not_expected_because="x")
    assert shown(unknown) == {"the mean by which it was chosen among 2": "undefined"}


def test_the_exact_numbers_are_those_of_the_row_that_people_read() -> None:
    pairs: Any = zip(candidate_records(CHOICE), candidate_numbers(CHOICE), strict=True)
    for row, numbers in pairs:
        assert row["Dice, pooled"] == f"{numbers['dice']:.3f}"
        assert row["weights"] == f"{numbers['weights_bytes'] / 2**20:.0f} MiB"
    assert candidate_numbers(CHOICE)[1]["behind_ci95_low"] == -0.01
    effect = StepEffect((1,), "organ", True, "it helps", 0.0123, Interval(0.001, 0.02), 3, 1, {})
    stepped = replace(CHOICE, postprocessing={"a__b__2d": (effect,)})
    (row,), (numbers,) = step_records(stepped), step_numbers(stepped)
    assert row["gain"] == f"{numbers['gain_dice']:+.4f}"
    assert row["patients better, worse"] == f"{numbers['n_better']}, {numbers['n_worse']}"
