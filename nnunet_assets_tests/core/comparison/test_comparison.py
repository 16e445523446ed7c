import json
import re
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.comparison import comparison as module
from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.comparison.comparison import Comparison, compare
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.statistics.estimate import MIN_PATIENTS
from nnunet_assets.core.statistics.halves import Halves
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

DATASET = "Dataset004_Hippocampus"
# Eight cases; the second model is better by 0.01 to 0.08, in the case c7 worse by 0.01.
FIRST = [0.50, 0.60, 0.70, 0.80, 0.55, 0.65, 0.75, 0.85]
SECOND = [0.52, 0.63, 0.74, 0.85, 0.61, 0.72, 0.83, 0.84]


def experiment(name: Any, scores: Any, *, metric: str = "dice", label: str = "A", **fields: Any) -> Any:
    """An experiment with one label, or with several where `scores` is a mapping of them."""
    labels = scores if isinstance(scores, dict) else {label: scores}
    by_case = {name: {f"c{k}": value for k, value in enumerate(values)} for name, values in labels.items()}
    return ComparedExperiment(name, **{"raw_hash": "raw", "splits_hash": "splits", **fields}, scores={metric: by_case})


def compared(*experiments: Any, **options: Any) -> Any:
    return compare(DATASET, experiments, {}, **options)


def foreground(comparison: Comparison) -> Any:
    return [one for one in comparison.differences if one.label is None]


def mean_of(comparison: Comparison, experiment: Any, label: Any = None) -> Any:
    return next(one.mean for one in comparison.standings if (one.experiment, one.label) == (experiment, label))


def test_a_difference_is_that_of_the_means_left_minus_right() -> None:
    both = compared(experiment("first", FIRST), experiment("second", SECOND))
    assert both.reference is None
    (found,) = foreground(both)
    # 0.02 + 0.03 + 0.04 + 0.05 + 0.06 + 0.07 + 0.08 - 0.01 over eight cases.
    assert (found.left, found.right, found.n_cases) == ("first", "second", 8)
    assert found.mean == pytest.approx(-0.34 / 8)
    assert found.interval.low < found.mean < found.interval.high < 0
    # Of 256 halves the empty one and that of c7 alone do not speak for the second.
    assert (found.p, found.p_corrected) == (pytest.approx(4 / 256), pytest.approx(4 / 256))
    # The means lack 0.325 and 0.2825 of 1.
    assert found.effect == pytest.approx(-0.0425 / (0.325 + 0.2825))
    assert (found.n_left_better, found.n_right_better) == (1, 7)
    assert (found.no_p_because, found.is_within_noise) == (None, None)


@pytest.mark.parametrize("folds", [["fold_0"], ["fold_0", "fold_1"]])
def test_hold_outs_and_splits_that_validate_some_cases_are_compared_on_the_cases_that_they_validate(
    folds: list[str],
) -> None:
    def summary(variant: Any, scores: Any) -> Any:
        halves = [range(8)] if len(folds) == 1 else [range(4), range(4, 8)]
        results = [
            build_fold_result(fold, {f"c{k}": {"A": scores[k]} for k in half})
            for fold, half in zip(folds, halves, strict=True)
        ]
        found = summarize(replace(EXPERIMENT, variant=variant), folds, results)
        return ComparedExperiment.of(replace(found, training_only=("t1", "t2")))

    both = compared(summary("first", FIRST), summary("second", SECOND))
    (found,) = (one for one in foreground(both) if one.metric == "dice")
    assert (found.mean, found.n_cases) == (pytest.approx(-0.34 / 8), 8)


def test_the_test_takes_patients_where_they_are_known_and_the_mean_still_goes_over_cases() -> None:
    patients = {f"c{k}": f"p{k // 2}" for k in range(8)}
    (found,) = foreground(compared(experiment("first", FIRST, patients=patients), experiment("second", SECOND)))
    assert found.mean == pytest.approx(-0.34 / 8)
    assert (found.n_cases, found.p, found.interval) == (8, None, None)
    assert (found.n_left_better, found.n_right_better) == (0, 4)
    assert found.no_p_because == f"4 patients, and a test needs {MIN_PATIENTS}"


def test_cases_that_only_one_of_the_two_has_defined_count_in_its_mean_and_in_the_difference() -> None:
    # In c0 and c1 there is no B: the left one draws none, the right one in c0.
    left = experiment("left", {"A": [0.7, 0.5, 0.6], "B": [None, None, 0.4]})
    right = experiment("right", {"A": [0.7, 0.4, 0.4], "B": [0.0, None, 0.3]})
    found = compared(left, right)
    a, b, all_labels = found.differences
    assert (a.label, a.n_cases, a.n_defined_in_one, a.mean) == ("A", 3, 0, pytest.approx(0.1))
    assert (b.label, b.n_cases, b.n_defined_in_one, b.mean) == ("B", 2, 1, pytest.approx(0.4 - 0.15))
    assert (all_labels.n_cases, all_labels.n_defined_in_one) == (3, 1)
    assert all_labels.mean == pytest.approx((0.1 + 0.25) / 2)
    for one in found.differences:
        assert one.mean == mean_of(found, "left", one.label) - mean_of(found, "right", one.label)
    assert {(one.experiment, one.label): one.n_worst for one in found.standings}[("right", None)] == 1


def test_labels_that_are_drawn_for_a_few_at_a_time_are_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"label {k}" for k in range(5)]
    both = [
        experiment(name, {label: scores[k:] + scores[:k] for k, label in enumerate(names)})
        for name, scores in (("first", FIRST), ("second", SECOND))
    ]
    at_once = compared(*both)
    assert {one.label for one in at_once.differences} == {*names, None}
    # Two experiments, two labels.
    monkeypatch.setattr(module, "_COLUMNS_AT_ONCE", 4)
    assert compared(*both).to_json() == at_once.to_json()


def test_p_values_are_corrected_over_the_pairs_of_a_metric_and_label() -> None:
    third = [score + 0.1 for score in FIRST]
    found = foreground(compared(experiment("1", FIRST), experiment("2", SECOND), experiment("3", third)))
    # 1 and 2: 4/256; 1 and 3, 2 and 3: all of one sign, so that the empty half alone speaks for neither.
    assert [one.p for one in found] == pytest.approx([4 / 256, 2 / 256, 2 / 256])
    assert [one.p_corrected for one in found] == pytest.approx([12 / 256, 6 / 256, 6 / 256])


def test_equal_scores_have_a_difference_and_an_effect_of_zero() -> None:
    (found,) = foreground(compared(experiment("one", FIRST), experiment("same", FIRST)))
    assert (found.mean, found.p, found.p_corrected, found.effect) == (0.0, 1.0, 1.0, 0.0)
    assert (found.interval.low, found.interval.high) == (0.0, 0.0)
    assert (found.n_left_better, found.n_right_better) == (0, 0)


def test_the_best_pooled_mean_is_first_and_halves_say_how_surely() -> None:
    found = compared(experiment("low", FIRST), experiment("high", SECOND), experiment("same", FIRST)).standings
    standing = {one.experiment: one for one in found if one.label is None}
    assert {name: one.rank for name, one in standing.items()} == {"high": 1, "low": 2, "same": 2}
    assert standing["high"].mean == pytest.approx(np.mean(SECOND))
    assert (standing["high"].rank_low, standing["high"].rank_high) == (1, 1)
    assert standing["high"].first_share == pytest.approx(254 / 255)
    assert standing["low"].first_share == pytest.approx(1 / 255)


def test_the_spread_of_a_standing_is_that_over_the_cases_and_of_their_foreground_means() -> None:
    left = experiment("left", {"A": [0.2, 0.4, None], "B": [0.6, 0.6, 0.9]})
    right = experiment("right", {"A": [0.5, None, None], "B": [0.1, 0.2, 0.3]})
    found = {(one.experiment, one.label): one.sd for one in compared(left, right).standings}
    assert found["left", "A"] == pytest.approx(0.2 / 2**0.5)
    # The cases' means: 0.4, 0.5 and 0.9.
    assert found["left", None] == pytest.approx((0.07) ** 0.5)
    assert found["right", "A"] is None


def test_of_a_distance_the_lowest_is_first() -> None:
    near, far = experiment("near", FIRST, metric="hd95_mm"), experiment("far", SECOND, metric="hd95_mm")
    found = compared(near, far, diagonal_mm=100.0)
    assert (found.standings[0].experiment, found.standings[0].rank) == ("near", 1)
    # The left one's mean lacks less of 0 mm; effect and difference have one sign.
    (difference,) = foreground(found)
    assert difference.mean == pytest.approx(-0.34 / 8)
    assert difference.effect == pytest.approx(-0.0425 / (0.675 + 0.7175))
    assert (difference.n_left_better, difference.n_right_better) == (7, 1)


def test_who_draws_nothing_where_there_is_nothing_has_no_rank_and_no_mean_and_nobody_goes_before_it() -> None:
    found = compared(experiment("right", [None] * 8), experiment("hallucinates", [None] * 7 + [0.0]))
    assert [(one.mean, one.rank) for one in found.standings[:2]] == [(None, None), (0.0, 2)]
    (difference,) = foreground(found)
    assert (difference.mean, difference.p, difference.interval, difference.effect) == (None, None, None, None)
    assert (difference.n_cases, difference.n_defined_in_one) == (1, 1)
    assert difference.no_p_because == "undefined in right"


def test_a_label_that_few_patients_have_leaves_the_interval_as_wide_as_the_scores() -> None:
    left = experiment("left", {"A": FIRST, "rare": [0.9] * 2 + [None] * 6})
    right = experiment("right", {"A": FIRST, "rare": [0.5] * 2 + [None] * 6})
    rare = compared(left, right).differences[1]
    # In a quarter of the halves there is none.
    assert (rare.mean, rare.p) == (pytest.approx(0.4), 0.5)
    assert (rare.interval.low, rare.interval.high) == (-1.0, 1.0)


class TestHeadline:
    def test_calls_first_who_is_told_apart_from_all_others(self) -> None:
        found = compared(experiment("low", FIRST), experiment("best", [score + 0.1 for score in FIRST]))
        assert found.headline() == "2 experiments on 8 shared cases: best is first in Dice (0.775)"

    def test_names_those_from_which_the_best_is_not_told_apart(self) -> None:
        close = [score + 0.01 * (-1) ** k for k, score in enumerate(FIRST)]
        low = [score - 0.2 for score in FIRST]
        found = compared(experiment("best", FIRST), experiment("close", close), experiment("low", low))
        assert found.headline().endswith("best has the highest Dice (0.675), not told apart from close")

    def test_a_difference_within_the_noise_between_seeds_makes_no_first(self) -> None:
        seeds = [experiment("seed1", FIRST), experiment("seed2", [score + 0.02 for score in FIRST])]
        best = experiment("best", [score + 0.1 for score in FIRST])
        found = compared(*seeds, best, repeats=[frozenset({"seed1", "seed2"})])
        assert all(one.is_significant for one in foreground(found))
        assert found.headline().endswith("best has the highest Dice (0.775), not told apart from seed1, seed2")

    def test_of_distances_it_names_the_lowest_and_that_missed_ones_are_counted(self) -> None:
        found = compared(experiment("a", FIRST, metric="hd95_mm"), experiment("b", FIRST, metric="hd95_mm"))
        assert "a has the lowest HD95 [mm], missed ones counted (0.675), not told apart from b" in found.headline()


class TestRepeats:
    FIRST_SEED, SECOND_SEED = experiment("seed1", FIRST), experiment("seed2", [score + 0.02 for score in FIRST])

    def test_give_the_noise_floor_and_are_not_tested_against_each_other(self) -> None:
        other = experiment("other", [score - 0.5 for score in FIRST])
        sets = [frozenset({"seed1", "seed2", "seed3"})]
        found = compared(self.FIRST_SEED, self.SECOND_SEED, other, repeats=sets)
        assert found.repeats == (("seed1", "seed2"),)
        assert [(one.left, one.right) for one in foreground(found)] == [("seed1", "other"), ("seed2", "other")]
        noise = found.noise[-1]
        # Two means 0.02 apart: SD 0.02 / sqrt(2), t of one degree of freedom 12.706.
        assert (noise.metric, noise.label, noise.noise.sd) == ("dice", None, pytest.approx(0.02 / sqrt(2)))
        assert noise.noise.floor == pytest.approx(12.7062 * 0.02, rel=1e-4)
        assert [one.is_within_noise for one in foreground(found)] == [False, False]

    def test_tell_that_a_difference_is_smaller_than_the_noise(self) -> None:
        other = experiment("other", SECOND)
        found = compared(self.FIRST_SEED, self.SECOND_SEED, other, repeats=[frozenset({"seed1", "seed2"})])
        assert [one.is_within_noise for one in foreground(found)] == [True, True]

    def test_that_are_not_both_there_give_none(self) -> None:
        found = compared(self.FIRST_SEED, experiment("other", SECOND), repeats=[frozenset({"seed1", "seed2"})])
        assert (found.noise, foreground(found)[0].is_within_noise) == ((), None)


@pytest.mark.parametrize(("field", "text"), [("splits_hash", "splits"), ("raw_hash", "raw data")])
class TestOtherSplitsOrData:
    def test_are_refused_and_both_are_named(self, field: str, text: str) -> None:
        with pytest.raises(SummaryError, match=f"one and two must not be compared: they differ in {text}\\. Train the"):
            compared(experiment("one", FIRST), experiment("two", SECOND, **{field: "other"}))

    def test_are_left_out_of_the_largest_group_that_may_be_compared(self, field: str, text: str) -> None:
        odd = experiment("odd", SECOND, **{field: "other"})
        found = compare(DATASET, [odd, experiment("one", FIRST), experiment("two", SECOND)], {"three": "no summary"})
        assert found.experiments == ("one", "two")
        assert list(found.left_out) == ["three", "odd"]
        assert f"one and odd must not be compared: they differ in {text}." in found.left_out["odd"]


VALIDATION = {"fold_0": frozenset({"c0", "c1", "c2", "c3"}), "fold_1": frozenset({"c4", "c5", "c6", "c7"})}
OTHER = {"fold_0": frozenset({"c0", "c2", "c4", "c6"}), "fold_1": frozenset({"c1", "c3", "c5", "c7"})}


class TestWhatWasTrainedElsewhere:
    """Of adopted folds neither raw data nor splits are known."""

    def adopted(self, name: Any, validation: Any, scores: Any = FIRST) -> Any:
        return experiment(name, scores, raw_hash=UNKNOWN, splits_hash=UNKNOWN, validation=validation)

    def test_is_compared_where_each_fold_validated_the_same_cases_and_that_no_more_is_proved_is_said(self) -> None:
        native = experiment("native", SECOND, validation=VALIDATION)
        found = compared(self.adopted("a", VALIDATION), self.adopted("b", VALIDATION), native)
        assert found.experiments == ("a", "b", "native")
        (note,) = found.notes
        assert note.startswith("Splits and raw data unproved: a, b, trained elsewhere.")

    def test_is_not_compared_where_the_folds_validated_other_cases(self) -> None:
        with pytest.raises(SummaryError, match="a and b must not be compared: they differ in the validation cases"):
            compared(self.adopted("a", VALIDATION), self.adopted("b", OTHER))
        natives = [experiment(name, SECOND, validation=VALIDATION) for name in ("one", "two")]
        found = compared(self.adopted("odd", OTHER), *natives)
        assert found.experiments == ("one", "two")
        assert (
            "they differ in raw data (unknown of one), splits (unknown of one), the validation cases of their folds."
            in found.left_out["odd"]
        )

    def test_is_not_compared_where_what_is_known_differs_all_the_same(self) -> None:
        half = experiment("half", FIRST, splits_hash=UNKNOWN, validation=VALIDATION)
        other = experiment("other", FIRST, raw_hash="other", validation=VALIDATION)
        with pytest.raises(SummaryError, match=r"they differ in raw data, splits \(unknown of one\)"):
            compared(half, other)


def test_labels_that_not_all_have_are_left_out_and_named() -> None:
    found = compared(experiment("one", {"A": FIRST, "B": SECOND}), experiment("two", {"A": SECOND, "C": FIRST}))
    assert [one.label for one in found.differences] == ["A", None]
    assert found.differences[0].mean == pytest.approx(found.differences[1].mean)
    assert found.notes == ("Labels that not every experiment has are left out, of the foreground too: B, C.",)


def test_without_a_shared_label_there_is_nothing_to_compare() -> None:
    with pytest.raises(SummaryError, match="No label has a dice in all of one, two"):
        compared(experiment("one", FIRST, label="A"), experiment("two", FIRST, label="B"))


def test_cases_that_not_all_validated_are_left_out_and_the_experiments_with_more_named() -> None:
    found = compared(experiment("five", FIRST[:5]), experiment("eight", SECOND))
    assert (found.n_cases, foreground(found)[0].n_cases) == (5, 5)
    assert found.notes == ("These experiments validated more than the 5 shared cases: eight (8).",)


def test_without_a_shared_case_there_is_nothing_to_compare() -> None:
    other = ComparedExperiment("other", "raw", "splits", {"dice": {"A": {"x": 0.5}}})
    with pytest.raises(SummaryError, match="No case was validated by all of one, other"):
        compared(experiment("one", FIRST), other)


@pytest.mark.parametrize(("n", "counted"), [(0, "no"), (1, "1")])
def test_fewer_than_two_experiments_are_no_comparison_yet(n: int, counted: str) -> None:
    found = compare(DATASET, [experiment("one", FIRST)][:n], {"two": "its summary is missing"})
    assert found.differences == ()
    assert (
        found.headline()
        == f"{counted} experiment of {DATASET} that can be compared: nothing to compare yet; 1 left out"
    )


def test_twenty_experiments_are_compared_each_with_each_and_more_with_the_first() -> None:
    def many(n: Any) -> Any:
        return [experiment(f"e{k}", [score + k / 1000 for score in FIRST]) for k in range(n)]

    twenty, more = compared(*many(20)), compared(*many(21))
    assert (len(foreground(twenty)), twenty.reference) == (190, None)
    assert (len(foreground(more)), more.reference) == (20, "e0")
    assert {one.left for one in more.differences} == {"e0"}


@pytest.mark.faults
def test_a_thousand_experiments_are_compared() -> None:
    rng = np.random.default_rng(0)
    found = compared(*(experiment(f"e{k}", rng.beta(8, 2, 30).tolist()) for k in range(1000)))
    assert len(foreground(found)) == 999
    assert len(found.standings) == 2000


def test_a_summary_becomes_a_compared_experiment_with_both_metrics() -> None:
    cases = {f"c{k}": {"A": dice, "never": None} for k, dice in enumerate(FIRST)}
    one = ComparedExperiment.of(summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)]))
    assert (one.name, one.splits_hash, one.patients) == ("nnUNetTrainer__nnUNetPlans__3d_fullres", "splits", None)
    found = compared(one, one)
    assert {(d.metric, d.label, d.mean) for d in found.differences} == {
        (metric, label, mean) for metric in ("dice", "iou") for label, mean in (("A", 0), (None, 0), ("never", None))
    }


def test_the_means_are_the_summarys_own_and_nnunets_to_the_last_digits() -> None:
    from math import fsum

    rng = np.random.default_rng(4)
    cases = {
        f"c{k:02}": {
            "A": float(rng.beta(8, 2)),
            "B": None if k % 3 == 0 else float(rng.beta(2, 2)),
            "C": None if k % 2 else 0.0,
        }
        for k in range(31)
    }
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)])
    experiments = [ComparedExperiment.of(summary), replace(ComparedExperiment.of(summary), name="other")]
    for one in compared(*experiments).standings:
        label = summary.foreground if one.label is None else summary.labels[one.label]
        assert one.mean == pytest.approx(getattr(label, one.metric).pooled.mean, abs=1e-12)
        if one.label is not None and one.metric == "dice":
            defined = [scores[one.label] for scores in cases.values() if scores[one.label] is not None]
            assert one.mean == pytest.approx(fsum(defined) / len(defined), abs=1e-12)


def test_json_holds_everything_and_null_where_it_is_undefined() -> None:
    content = compared(experiment("one", FIRST), experiment("none", [None] * 8)).to_json()
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text)["schema_version"] == 2
    assert json.loads(text)["differences"][0]["mean"] is None
    assert json.loads(text)["bootstrap"]["clustered_by"] == "case"


class TestWhoIsFirst:
    LOW, MIDDLE, HIGH = ([value - down for value in FIRST] for down in (0.2, 0.001, 0.0))

    def test_is_who_is_first_in_the_foreground_and_not_in_a_label(self) -> None:
        both = compared(
            experiment("left", {"A": self.HIGH, "B": [0.1] * 8}), experiment("right", {"A": self.LOW, "B": [0.9] * 8})
        )
        assert both.headline().startswith("2 experiments on 8 shared cases: right is first in ")

    def test_is_told_apart_on_whichever_side_the_others_stand(self) -> None:
        for low in (["a", "c"], ["c", "d"], ["a", "b1"]):
            three = compared(experiment("b", self.HIGH), *(experiment(name, self.LOW) for name in low))
            assert ": b is first in Dice" in three.headline(), three.headline()

    def test_names_up_to_three_from_which_it_is_not_told_apart_whatever_their_names(self) -> None:
        alike = [experiment(name, self.HIGH) for name in ("e", "a", "z", "f", "b")]
        found = compared(experiment("c", [value + 0.001 for value in self.HIGH[:-1]] + [0.8]), *alike).headline()
        assert re.search(r": \w has the highest .* \(0\.675\), not told apart from \w, \w, \w and 2 more$", found), (
            found
        )

    def test_shows_a_mean_of_nothing_as_nothing(self) -> None:
        assert "(0.000)" in compared(experiment("a", [0.0] * 8), experiment("b", [0.0] * 8)).headline()


def test_cases_and_standings_are_counted_over_all_labels() -> None:
    left = experiment("left", {"A": [0.5, 0.6, 0.7], "B": [None, None, 0.4]})
    right = experiment("right", {"A": [0.4, 0.5, 0.6], "B": [0.0, 0.0, 0.5]})
    (found,) = foreground(compared(left, right))
    assert (found.n_cases, found.n_defined_in_one) == (3, 2)
    nothing = compared(experiment("a", {"A": FIRST, "B": [None] * 8}), experiment("b", {"A": FIRST, "B": [0.0] * 8}))
    worst = {(one.experiment, one.label): one.n_worst for one in nothing.standings}
    assert (worst["a", "B"], worst["b", "B"], worst["b", None], worst["b", "A"]) == (0, 8, 8, 0)


def test_one_case_is_one_case() -> None:
    (found,) = foreground(compared(experiment("a", [0.5]), experiment("b", [0.6])))
    assert found.no_p_because == f"1 case, and a test needs {MIN_PATIENTS}"


def test_an_experiment_that_repeats_none_is_no_set() -> None:
    alone = compared(experiment("a", FIRST), experiment("b", SECOND), repeats=[frozenset({"a"})])
    assert (alone.noise, len(foreground(alone))) == ((), 1)


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 7])
def test_labels_are_compared_alike_however_many_at_a_time(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    scores = {label: [value - k / 100 for value in FIRST] for k, label in enumerate("ABC")}
    pair = experiment("a", scores), experiment("b", dict.fromkeys("ABC", SECOND))
    whole = compared(*pair)
    seen: list[int] = []
    means = Halves.means

    def noted(self: Halves, values: Any) -> Any:
        seen.append(values.shape[1])
        return means(self, values)

    monkeypatch.setattr(Halves, "means", noted)
    monkeypatch.setattr(module, "_COLUMNS_AT_ONCE", at_once)
    assert compared(*pair) == whole
    assert seen == {1: [2, 2, 2], 2: [2, 2, 2], 3: [2, 2, 2], 5: [4, 2], 7: [6]}[at_once]


def test_it_is_had_as_rows_of_standings_or_of_differences() -> None:
    both = compared(experiment("first", FIRST), experiment("second", SECOND))
    standings = both.to_dataframe()
    assert list(standings["experiment"]) == [one.experiment for one in both.standings]
    assert list(standings["mean"]) == [one.mean for one in both.standings]
    rows, (found,) = both.to_dataframe("differences"), foreground(both)
    foregrounds = rows[rows["label"].isna()]
    assert list(foregrounds["mean"]) == [found.mean]
    assert list(foregrounds["ci95_low"]) == [found.interval.low]
    assert list(foregrounds["ci95_high"]) == [found.interval.high]
    assert "interval" not in rows
    assert compared(experiment("first", FIRST)).to_dataframe().empty
    with pytest.raises(SummaryError, match="There is no table of 'pairs'; there are those of 'standings' and"):
        both.to_dataframe("pairs")
