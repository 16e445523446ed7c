import json
from math import sqrt

import numpy as np
import pytest

from nnunet_assets.core.commit import UNKNOWN
from nnunet_assets.core.comparison import Comparison, compare
from nnunet_assets.core.contenders import Contender
from nnunet_assets.core.cv_summary import summarize
from nnunet_assets.core.statistics import MIN_DIFFERENCES
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

DATASET = "Dataset004_Hippocampus"
# Eight cases; the second model is better by 0.01 to 0.08, in the case c7 worse by 0.01.
FIRST = [0.50, 0.60, 0.70, 0.80, 0.55, 0.65, 0.75, 0.85]
SECOND = [0.52, 0.63, 0.74, 0.85, 0.61, 0.72, 0.83, 0.84]


def contender(name, scores, *, metric="dice", label="A", **fields):
    """An experiment with one label, or with several where `scores` is a mapping of them."""
    labels = scores if isinstance(scores, dict) else {label: scores}
    by_case = {name: {f"c{k}": value for k, value in enumerate(values)} for name, values in labels.items()}
    return Contender(name, **{"raw_hash": "raw", "splits_hash": "splits", **fields}, scores={metric: by_case})


def compared(*contenders, **options):
    return compare(DATASET, contenders, {}, **options)


def foreground(comparison: Comparison):
    return [one for one in comparison.differences if one.label is None]


def test_a_difference_is_left_minus_right_case_by_case():
    (found,) = foreground(compared(contender("first", FIRST), contender("second", SECOND)))
    # 0.02 + 0.03 + 0.04 + 0.05 + 0.06 + 0.07 + 0.08 - 0.01 over eight cases.
    assert (found.left, found.right, found.n_cases) == ("first", "second", 8)
    assert found.mean == pytest.approx(-0.34 / 8)
    assert found.interval.low < found.mean < found.interval.high < 0
    # The smallest of eight ranks is the only positive one: (1 - 35) / 36, and 2 signs of 256 lie as far out on a side.
    assert found.rank_biserial == pytest.approx(-34 / 36)
    assert found.p == pytest.approx(4 / 256)
    assert (found.n_tested, found.no_p_because, found.is_within_noise) == (8, None, None)


def test_the_test_takes_patients_where_they_are_known_and_the_mean_still_goes_over_cases():
    patients = {f"c{k}": f"p{k // 2}" for k in range(8)}
    (found,) = foreground(compared(contender("first", FIRST, patients=patients), contender("second", SECOND)))
    assert found.mean == pytest.approx(-0.34 / 8)
    assert (found.n_cases, found.n_tested, found.p, found.interval) == (8, 4, None, None)
    assert found.no_p_because == f"4 patients differ, and a test needs {MIN_DIFFERENCES}"


def test_cases_that_only_one_of_the_two_has_are_not_compared_but_counted():
    left = contender("left", {"A": [None, 0.5, 0.6, None], "B": [None, None, 0.4, None]})
    right = contender("right", {"A": [0.7, 0.4, 0.4, None], "B": [None, 0.9, 0.3, None]})
    a, b, all_labels = compared(left, right).differences
    assert (a.label, a.n_cases, a.n_defined_in_one, a.mean) == ("A", 2, 1, pytest.approx(0.15))
    assert (b.label, b.n_cases, b.n_defined_in_one, b.mean) == ("B", 1, 1, pytest.approx(0.1))
    # The foreground of c1 is that of A alone, of c2 the mean of 0.2 and 0.1.
    assert (all_labels.n_cases, all_labels.n_defined_in_one, all_labels.mean) == (2, 1, pytest.approx(0.125))


def test_p_values_are_corrected_over_the_pairs_of_a_metric_and_label():
    third = [score + 0.1 for score in FIRST]
    found = foreground(compared(contender("1", FIRST), contender("2", SECOND), contender("3", third)))
    # 1 and 2: 4/256; 1 and 3, 2 and 3: all of one sign, 2/256. Smallest times three, the next times two, but no less.
    assert [one.p for one in found] == pytest.approx([4 / 256, 2 / 256, 2 / 256])
    assert [one.p_holm for one in found] == pytest.approx([6 / 256, 6 / 256, 6 / 256])


def test_equal_scores_have_no_p_value_no_effect_and_a_difference_of_zero():
    (found,) = foreground(compared(contender("one", FIRST), contender("same", FIRST)))
    assert (found.mean, found.p, found.p_holm, found.rank_biserial) == (0.0, None, None, None)
    assert (found.interval.low, found.interval.high) == (0.0, 0.0)


def test_the_best_pooled_mean_is_first_and_resamples_say_how_surely():
    found = compared(contender("low", FIRST), contender("high", SECOND), contender("same", FIRST)).standings
    standing = {one.experiment: one for one in found if one.label is None}
    assert {name: one.rank for name, one in standing.items()} == {"high": 1, "low": 2, "same": 2}
    assert standing["high"].mean == pytest.approx(np.mean(SECOND))
    assert (standing["high"].rank_low, standing["high"].rank_high) == (1, 1)
    assert standing["high"].first_share > 0.95
    assert standing["low"].first_share < 0.05


def test_of_a_metric_where_lower_is_better_the_lowest_is_first():
    near, far = contender("near", FIRST, metric="mm"), contender("far", SECOND, metric="mm")
    first = compared(near, far, lower_is_better={"mm"}).standings[0]
    assert (first.experiment, first.metric, first.rank) == ("near", "mm", 1)


def test_an_experiment_without_a_defined_score_has_no_rank_and_no_difference():
    found = compared(contender("one", FIRST), contender("none", [None] * 8))
    assert [one.rank for one in found.standings if one.experiment == "none"] == [None, None]
    assert (foreground(found)[0].mean, foreground(found)[0].n_defined_in_one) == (None, 8)


class TestRepeats:
    FIRST_SEED, SECOND_SEED = contender("seed1", FIRST), contender("seed2", [score + 0.02 for score in FIRST])

    def test_give_the_noise_floor_and_are_not_tested_against_each_other(self):
        other = contender("other", [score + 0.5 for score in FIRST])
        sets = [frozenset({"seed1", "seed2", "seed3"})]
        found = compared(self.FIRST_SEED, self.SECOND_SEED, other, repeats=sets)
        assert found.repeats == (("seed1", "seed2"),)
        assert [(one.left, one.right) for one in foreground(found)] == [("seed1", "other"), ("seed2", "other")]
        noise = found.noise[-1]
        # Two means 0.02 apart: SD 0.02 / sqrt(2), t of one degree of freedom 12.706.
        assert (noise.metric, noise.label, noise.noise.sd) == ("dice", None, pytest.approx(0.02 / sqrt(2)))
        assert noise.noise.floor == pytest.approx(12.7062 * 0.02, rel=1e-4)
        assert [one.is_within_noise for one in foreground(found)] == [False, False]

    def test_tell_that_a_difference_is_smaller_than_the_noise(self):
        other = contender("other", SECOND)
        found = compared(self.FIRST_SEED, self.SECOND_SEED, other, repeats=[frozenset({"seed1", "seed2"})])
        assert [one.is_within_noise for one in foreground(found)] == [True, True]

    def test_that_are_not_both_there_give_none(self):
        found = compared(self.FIRST_SEED, contender("other", SECOND), repeats=[frozenset({"seed1", "seed2"})])
        assert (found.noise, foreground(found)[0].is_within_noise) == ((), None)


@pytest.mark.parametrize(("field", "text"), [("splits_hash", "splits"), ("raw_hash", "raw data")])
class TestOtherSplitsOrData:
    def test_are_refused_and_both_are_named(self, field, text):
        with pytest.raises(SummaryError, match=f"one and two must not be compared: they differ in {text}\\. Train the"):
            compared(contender("one", FIRST), contender("two", SECOND, **{field: "other"}))

    def test_are_left_out_of_the_largest_group_that_may_be_compared(self, field, text):
        odd = contender("odd", SECOND, **{field: "other"})
        found = compare(DATASET, [odd, contender("one", FIRST), contender("two", SECOND)], {"three": "no summary"})
        assert found.experiments == ("one", "two")
        assert list(found.left_out) == ["three", "odd"]
        assert f"one and odd must not be compared: they differ in {text}." in found.left_out["odd"]


VALIDATION = {"fold_0": frozenset({"c0", "c1", "c2", "c3"}), "fold_1": frozenset({"c4", "c5", "c6", "c7"})}
OTHER = {"fold_0": frozenset({"c0", "c2", "c4", "c6"}), "fold_1": frozenset({"c1", "c3", "c5", "c7"})}


class TestWhatWasTrainedElsewhere:
    """Of adopted folds neither raw data nor splits are known."""

    def adopted(self, name, validation, scores=FIRST):
        return contender(name, scores, raw_hash=UNKNOWN, splits_hash=UNKNOWN, validation=validation)

    def test_is_compared_where_each_fold_validated_the_same_cases_and_that_no_more_is_proved_is_said(self):
        native = contender("native", SECOND, validation=VALIDATION)
        found = compared(self.adopted("a", VALIDATION), self.adopted("b", VALIDATION), native)
        assert found.experiments == ("a", "b", "native")
        (note,) = found.notes
        assert note.startswith("Splits and raw data unproved: a, b, trained elsewhere.")

    def test_is_not_compared_where_the_folds_validated_other_cases(self):
        with pytest.raises(SummaryError, match="a and b must not be compared: they differ in the validation cases"):
            compared(self.adopted("a", VALIDATION), self.adopted("b", OTHER))
        natives = [contender(name, SECOND, validation=VALIDATION) for name in ("one", "two")]
        found = compared(self.adopted("odd", OTHER), *natives)
        assert found.experiments == ("one", "two")
        assert (
            "they differ in raw data (unknown of one), splits (unknown of one), the validation cases of their folds."
            in found.left_out["odd"]
        )

    def test_is_not_compared_where_what_is_known_differs_all_the_same(self):
        half = contender("half", FIRST, splits_hash=UNKNOWN, validation=VALIDATION)
        other = contender("other", FIRST, raw_hash="other", validation=VALIDATION)
        with pytest.raises(SummaryError, match=r"they differ in raw data, splits \(unknown of one\)"):
            compared(half, other)


def test_labels_that_not_all_have_are_left_out_and_named():
    found = compared(contender("one", {"A": FIRST, "B": SECOND}), contender("two", {"A": SECOND, "C": FIRST}))
    assert [one.label for one in found.differences] == ["A", None]
    assert found.differences[0].mean == pytest.approx(found.differences[1].mean)
    assert found.notes == ("Labels that not every experiment has are left out, of the foreground too: B, C.",)


def test_without_a_shared_label_there_is_nothing_to_compare():
    with pytest.raises(SummaryError, match="No label has a dice in all of one, two"):
        compared(contender("one", FIRST, label="A"), contender("two", FIRST, label="B"))


def test_cases_that_not_all_validated_are_left_out_and_the_experiments_with_more_named():
    found = compared(contender("five", FIRST[:5]), contender("eight", SECOND))
    assert (found.n_cases, foreground(found)[0].n_cases) == (5, 5)
    assert found.notes == ("These experiments validated more than the 5 shared cases: eight (8).",)


def test_without_a_shared_case_there_is_nothing_to_compare():
    other = Contender("other", "raw", "splits", {"dice": {"A": {"x": 0.5}}})
    with pytest.raises(SummaryError, match="No case was validated by all of one, other"):
        compared(contender("one", FIRST), other)


@pytest.mark.parametrize(("n", "counted"), [(0, "no"), (1, "1")])
def test_fewer_than_two_experiments_are_no_comparison_yet(n, counted):
    found = compare(DATASET, [contender("one", FIRST)][:n], {"two": "its summary is missing"})
    assert found.differences == ()
    assert found.headline() == f"{counted} complete summary of {DATASET}: nothing to compare yet; 1 left out"


def test_twenty_experiments_are_compared_each_with_each_and_more_with_the_first():
    def many(n):
        return [contender(f"e{k}", [score + k / 1000 for score in FIRST]) for k in range(n)]

    twenty, more = compared(*many(20)), compared(*many(21))
    assert (len(foreground(twenty)), twenty.reference) == (190, None)
    assert (len(foreground(more)), more.reference) == (20, "e0")
    assert {one.left for one in more.differences} == {"e0"}


@pytest.mark.faults
def test_a_thousand_experiments_are_compared():
    rng = np.random.default_rng(0)
    found = compared(*(contender(f"e{k}", rng.beta(8, 2, 30).tolist()) for k in range(1000)))
    assert len(foreground(found)) == 999
    assert len(found.standings) == 2000


def test_a_summary_becomes_a_contender_with_both_metrics():
    cases = {f"c{k}": {"A": dice, "never": None} for k, dice in enumerate(FIRST)}
    one = Contender.of(summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)]))
    assert (one.name, one.splits_hash, one.patients) == ("nnUNetTrainer__nnUNetPlans__3d_fullres", "splits", None)
    found = compared(one, one)
    assert {(d.metric, d.label, d.mean) for d in found.differences} == {
        (metric, label, mean) for metric in ("dice", "iou") for label, mean in (("A", 0), (None, 0), ("never", None))
    }


def test_json_holds_everything_and_null_where_it_is_undefined():
    content = compared(contender("one", FIRST), contender("none", [None] * 8)).to_json()
    text = json.dumps(content, allow_nan=False)
    assert json.loads(text)["schema_version"] == 1
    assert json.loads(text)["differences"][0]["mean"] is None
    assert json.loads(text)["bootstrap"]["clustered_by"] == "case"
