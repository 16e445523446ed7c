from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.summary.summary_checks import FoldCoverage, coverage, fold_spread
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

FOLDS = [f"fold_{k}" for k in range(5)]


def of_dices(*dices: Any) -> Any:
    """One fold a Dice, of one case with one label; None leaves the fold undefined."""
    results = [build_fold_result(f"fold_{k}", {f"c{k}": {"x": dice}}) for k, dice in enumerate(dices)]
    return summarize(EXPERIMENT, FOLDS, results)


def of_cases(**cases: Any) -> Any:
    folds = [build_fold_result(fold, {case: {"x": 0.5} for case in names}) for fold, names in cases.items()]
    return summarize(EXPERIMENT, FOLDS, folds)


class TestCoverage:
    def test_cases_that_a_fold_left_out_or_took_from_another_are_named(self) -> None:
        found = coverage(
            of_cases(fold_0=["a", "c"], fold_1=["d"]), {"fold_0": ["a", "b"], "fold_1": ["d"], "fold_2": ["c"]}
        )
        assert found == [FoldCoverage("fold_0", 2, 2, ("b",), ("c",)), FoldCoverage("fold_1", 1, 1, (), ())]

    def test_folds_that_are_not_finished_miss_nothing(self) -> None:
        assert coverage(of_cases(fold_1=["b"]), {"fold_0": ["a"], "fold_1": ["b"]}) == [
            FoldCoverage("fold_1", 1, 1, (), ())
        ]

    def test_all_cases_of_a_fold_that_the_split_does_not_have_are_foreign(self) -> None:
        assert coverage(of_cases(fold_4=["a"]), {"fold_0": ["a"]}) == [FoldCoverage("fold_4", 0, 1, (), ("a",))]

    @given(st.permutations("abcdefghij"))
    def test_a_split_that_deals_each_case_as_validated_is_covered_and_no_other_is(self, order: Any) -> None:
        validated = {"fold_0": list("abcde"), "fold_1": list("fghij")}
        split = {"fold_0": order[:5], "fold_1": order[5:]}
        is_exact = not any(fold.missing or fold.foreign for fold in coverage(of_cases(**validated), split))
        assert is_exact == (set(order[:5]) == set("abcde"))


class TestOutliers:
    def test_a_fold_far_from_the_others_is_one(self) -> None:
        # Median 0.90; distances 0.01, 0, 0.01, 0.02, 0.20, of which the median is 0.01.
        spread = fold_spread(of_dices(0.91, 0.90, 0.89, 0.92, 0.70))
        assert spread.median == pytest.approx(0.90)
        assert spread.scaled_mad == pytest.approx(0.014826)
        assert spread.limit == 0.05
        assert spread.outliers == ("fold_4",)

    def test_folds_that_lie_apart_from_each_other_have_none(self) -> None:
        # Median 0.8; distances 0.2, 0.1, 0, 0.1, 0.15: 3 * 1.4826 * 0.1.
        spread = fold_spread(of_dices(0.6, 0.7, 0.8, 0.9, 0.95))
        assert spread.limit == pytest.approx(0.44478)
        assert spread.outliers == ()

    def test_equal_folds_do_not_make_a_small_distance_one(self) -> None:
        assert fold_spread(of_dices(0.9, 0.9, 0.9, 0.9, 0.86)).outliers == ()
        assert fold_spread(of_dices(0.9, 0.9, 0.9, 0.9, 0.84)).outliers == ("fold_4",)

    def test_a_fold_that_is_better_is_one_too(self) -> None:
        assert fold_spread(of_dices(0.5, 0.5, 0.51, 0.9)).outliers == ("fold_3",)

    def test_three_folds_with_a_dice_say_nothing(self) -> None:
        assert fold_spread(of_dices(0.9, 0.9, 0.1)) is None
        assert fold_spread(of_dices(0.9, 0.9, 0.1, None)) is None

    @given(st.permutations([0.91, 0.90, 0.89, 0.92, 0.70]), st.floats(0.0, 0.79))
    def test_the_order_and_how_bad_the_odd_fold_is_change_nothing_for_the_others(self, dices: Any, worst: Any) -> None:
        moved = [worst if dice == 0.70 else dice for dice in dices]
        assert fold_spread(of_dices(*moved)).outliers == (f"fold_{dices.index(0.70)}",)
        assert fold_spread(of_dices(*moved)).median == pytest.approx(0.90)
