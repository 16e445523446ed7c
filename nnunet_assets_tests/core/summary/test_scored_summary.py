import json
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.statistics.estimate import Bootstrap, Estimate, Interval
from nnunet_assets.core.summary.label_summary import LabelSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, Dices, build_fold_result

# Two labels, B absent from cases a2 and b1, folds of 3 and 1 cases.
#
#            A      B     case mean
#   fold_0
#     a1    0.9    0.6      0.75
#     a2    0.6     -       0.6
#     a3    0.6    0.4      0.5
#     mean  0.7    0.5      foreground 0.6
#   fold_1
#     b1    0.3     -       0.3
#     mean  0.3     -       foreground 0.3
#
#   pooled  0.6    0.5      foreground 0.55 (the mean of the case means would be 0.5375)
#   folds   0.5    0.5      foreground 0.45
FOLD_0 = {"a1": {"A": 0.9, "B": 0.6}, "a2": {"A": 0.6, "B": None}, "a3": {"A": 0.6, "B": 0.4}}
FOLD_1 = {"b1": {"A": 0.3, "B": None}}
FOLDS = [f"fold_{k}" for k in range(5)]

DATA = Path(__file__).parents[2] / "data"
"""A summary of the first schema, of the two folds above."""


def hand_worked() -> Any:
    return summarize(
        EXPERIMENT, ["fold_0", "fold_1"], [build_fold_result("fold_0", FOLD_0), build_fold_result("fold_1", FOLD_1)]
    )


def one_case_folds(*dices: Any, inputs: Any = None) -> Any:
    """Folds of one case and one label, `x`; `inputs` fold by fold."""
    inputs = inputs or [INPUTS] * len(dices)
    return [build_fold_result(f"fold_{k}", {f"case_{k}": {"x": dice}}, inputs[k]) for k, dice in enumerate(dices)]


def numbers(estimate: Any) -> Any:
    return (estimate.mean, estimate.sd, estimate.n, estimate.n_defined)


def approximately(mean: Any, sd: Any, n: Any, n_defined: Any) -> Any:
    return (pytest.approx(mean, abs=1e-12), sd and pytest.approx(sd, abs=1e-12), n, n_defined)


def test_pooled_goes_over_all_cases_and_over_folds_over_the_fold_means() -> None:
    dice = hand_worked().labels["A"].dice
    # Squared distances from 0.6: 0.09, 0, 0, 0.09; divided by 3.
    assert numbers(dice.pooled) == approximately(0.6, sqrt(0.06), 4, 4)
    # Fold means 0.7 and 0.3 lie 0.2 from 0.5: 0.08 / 1.
    assert numbers(dice.over_folds) == approximately(0.5, sqrt(0.08), 2, 2)
    assert numbers(dice.by_fold["fold_0"]) == approximately(0.7, sqrt(0.03), 3, 3)
    assert numbers(dice.by_fold["fold_1"]) == approximately(0.3, None, 1, 1)


def test_undefined_scores_count_as_cases_but_not_in_the_mean() -> None:
    dice = hand_worked().labels["B"].dice
    assert numbers(dice.pooled) == approximately(0.5, sqrt(0.02), 4, 2)
    assert numbers(dice.over_folds) == approximately(0.5, None, 2, 1)
    assert dice.by_fold["fold_1"] == Estimate(None, None, 1, 0)


def test_iou_is_summarized_as_dice_is() -> None:
    iou = hand_worked().labels["A"].iou
    # Dice 0.9, 0.6, 0.6, 0.3 are IoU 9/11, 3/7, 3/7, 3/17.
    assert iou.pooled.mean == pytest.approx((9 / 11 + 3 / 7 + 3 / 7 + 3 / 17) / 4, abs=1e-12)
    assert iou.over_folds.mean == pytest.approx(((9 / 11 + 3 / 7 + 3 / 7) / 3 + 3 / 17) / 2, abs=1e-12)


def test_the_foreground_mean_is_the_mean_of_label_means_and_its_spread_that_of_cases_or_folds() -> None:
    dice = hand_worked().foreground.dice
    # SD over the case means 0.75, 0.6, 0.5, 0.3, whose mean is 0.5375.
    squares = 0.2125**2 + 0.0625**2 + 0.0375**2 + 0.2375**2
    assert numbers(dice.pooled) == approximately(0.55, sqrt(squares / 3), 4, 4)
    # Fold foregrounds 0.6 and 0.3 lie 0.15 from 0.45: 0.045 / 1.
    assert numbers(dice.over_folds) == approximately(0.45, sqrt(0.045), 2, 2)
    # Case means 0.75, 0.6, 0.5.
    mean = 1.85 / 3
    spread = sqrt(((0.75 - mean) ** 2 + (0.6 - mean) ** 2 + (0.5 - mean) ** 2) / 2)
    assert numbers(dice.by_fold["fold_0"]) == approximately(0.6, spread, 3, 3)


def test_a_label_that_is_never_there_is_undefined_left_out_of_the_foreground_and_named() -> None:
    cases = {"a": {"A": 0.8, "never": None}, "b": {"A": 0.6, "never": None}}
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)])
    assert summary.absent_labels == ("never",)
    assert summary.labels["never"].dice.pooled == Estimate(None, None, 2, 0)
    assert summary.foreground.dice.pooled.mean == pytest.approx(0.7)
    assert summary.absent_labels_by_fold == {}


def test_a_label_that_one_fold_does_not_hold_is_named_for_that_fold() -> None:
    assert hand_worked().absent_labels == ()
    assert hand_worked().absent_labels_by_fold == {"fold_1": ("B",)}


def test_a_case_without_any_label_is_counted_but_undefined() -> None:
    cases: dict[str, Dices] = {"empty": {"A": None, "B": None}, "full": {"A": 0.5, "B": 0.7}}
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)])
    assert numbers(summary.foreground.dice.pooled) == approximately(0.6, None, 2, 1)


def test_one_expected_fold_is_a_hold_out_without_a_spread_over_folds() -> None:
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", FOLD_0)])
    assert (summary.is_hold_out, summary.what, summary.is_complete) == (True, "hold-out", True)
    assert summary.headline() == "hold-out (fold_0): Dice 0.600"
    assert summary.foreground.dice.over_folds.sd is None
    one_of_two = summarize(EXPERIMENT, ["fold_0", "fold_1"], [build_fold_result("fold_0", FOLD_0)])
    assert one_of_two.headline() == "1 of 2 folds (fold_1 missing): Dice 0.600 in one fold"


def test_cases_that_only_train_are_part_of_the_record() -> None:
    summary = replace(hand_worked(), training_only=("t1", "t2"))
    assert ScoredSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary
    assert ScoredSummary.from_json(hand_worked().to_json()).training_only is None


def test_where_no_label_is_ever_there_the_foreground_is_undefined_and_not_zero() -> None:
    summary = summarize(EXPERIMENT, ["fold_0"], one_case_folds(None))
    assert summary.foreground.dice.pooled == Estimate(None, None, 1, 0)
    assert summary.headline() == "hold-out (fold_0): Dice undefined, no reference and no prediction holds a label"


def test_folds_stand_in_the_expected_order_and_the_missing_ones_are_named() -> None:
    expected = ["fold_0", "fold_2", "fold_1", "fold_10"]
    summary = summarize(EXPERIMENT, expected, list(reversed(one_case_folds(0.5, 0.6, 0.7))))
    assert summary.completed_folds == ("fold_0", "fold_2", "fold_1")
    assert summary.missing_folds == ("fold_10",)
    assert not summary.is_complete
    assert summary.n_cases == 3
    assert hand_worked().is_complete


def test_the_headline_says_folds_dice_and_spread() -> None:
    assert summarize(EXPERIMENT, FOLDS[:2], one_case_folds(0.8, 0.9)).headline() == (
        "2 of 2 folds: Dice 0.850 ± 0.071 over folds"
    )
    assert summarize(EXPERIMENT, FOLDS[:3], one_case_folds(0.8, 0.9)).headline() == (
        "2 of 3 folds (fold_2 missing): Dice 0.850 ± 0.071 over folds"
    )
    assert summarize(EXPERIMENT, FOLDS[:3], one_case_folds(0.8)).headline() == (
        "1 of 3 folds (fold_1, fold_2 missing): Dice 0.800 in one fold"
    )


def test_no_finished_fold_is_an_error() -> None:
    with pytest.raises(SummaryError, match=r"No fold of Dataset004_Hippocampus .* is finished.*fold_0, fold_1"):
        summarize(EXPERIMENT, ["fold_0", "fold_1"], [])


def test_an_unexpected_fold_is_refused() -> None:
    with pytest.raises(SummaryError, match=r"fold_1 of .* is not among the expected folds \(fold_0\)"):
        summarize(EXPERIMENT, ["fold_0"], one_case_folds(0.5, 0.6))


def test_a_fold_that_is_there_twice_is_refused() -> None:
    with pytest.raises(SummaryError, match=r"fold_0 of .* is there twice"):
        summarize(EXPERIMENT, ["fold_0"], one_case_folds(0.5) * 2)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("raw_hash", "raw data"),
        ("plans_hash", "plans"),
        ("splits_hash", "splits"),
        ("training_hash", "training settings"),
    ],
)
def test_the_fold_of_other_inputs_is_named_with_what_differs(field: str, text: str) -> None:
    other = replace(INPUTS, **{field: "other"})
    folds = one_case_folds(0.5, 0.6, 0.7, inputs=[other, INPUTS, INPUTS])
    with pytest.raises(SummaryError, match=rf"fold_0 and fold_1, fold_2 differ in {text}\. Train fold_0 again"):
        summarize(EXPERIMENT, FOLDS, folds)


def test_several_odd_folds_are_all_named_with_all_that_differs() -> None:
    first = replace(INPUTS, raw_hash="other", plans_hash="other")
    second = replace(INPUTS, splits_hash="other")
    folds = one_case_folds(0.5, 0.6, 0.7, 0.8, inputs=[INPUTS, first, INPUTS, second])
    message = (
        r"fold_1 and fold_0, fold_2 differ in raw data, plans; fold_3 and fold_0, fold_2 differ in splits\. "
        r"Train fold_1, fold_3 again"
    )
    with pytest.raises(SummaryError, match=message):
        summarize(EXPERIMENT, FOLDS, folds)


def test_without_a_majority_both_groups_are_named_and_none_is_blamed() -> None:
    other = replace(INPUTS, plans_hash="other")
    folds = one_case_folds(0.5, 0.6, 0.7, 0.8, inputs=[other, INPUTS, INPUTS, other])
    with pytest.raises(
        SummaryError, match=r"fold_1, fold_2 and fold_0, fold_3 differ in plans\. No group .* is the largest"
    ):
        summarize(EXPERIMENT, FOLDS, folds)


def test_a_case_that_two_folds_validated_is_refused() -> None:
    folds = [build_fold_result(fold, {"shared": {"x": 0.5}, fold: {"x": 0.5}}) for fold in FOLDS[:2]]
    with pytest.raises(SummaryError, match=r"but not shared in fold_0 and fold_1\..*one split"):
        summarize(EXPERIMENT, FOLDS, folds)


def test_folds_of_other_labels_are_refused() -> None:
    folds = [build_fold_result("fold_0", {"a": {"x": 0.5}}), build_fold_result("fold_1", {"b": {"y": 0.5}})]
    with pytest.raises(SummaryError, match=r"Case b in fold_1 of .* has scores for \['y'\], other cases for \['x'\]"):
        summarize(EXPERIMENT, FOLDS, folds)


def test_a_summary_survives_json_and_has_null_where_it_is_undefined() -> None:
    summary = hand_worked()
    text = json.dumps(summary.to_json(), allow_nan=False)
    assert json.loads(text)["labels"]["B"]["dice"]["by_fold"]["fold_1"]["mean"] is None
    assert ScoredSummary.from_json(json.loads(text)) == summary


def test_json_shows_the_result_to_readers_that_do_not_know_this_package() -> None:
    content = hand_worked().to_json()
    assert content["experiment"]["dataset"] == "Dataset004_Hippocampus"
    assert content["inputs"] == {
        "raw_hash": "raw",
        "plans_hash": "plans",
        "splits_hash": "splits",
        "training_hash": "training",
    }
    assert content["completed_folds"] == ["fold_0", "fold_1"]
    assert content["foreground"]["dice"]["over_folds"]["n"] == 2
    assert content["folds"][0]["cases"]["a2"]["B"] == {"dice": None, "iou": None}


def damaged(content: Any, *path: Any, value: Any = None) -> Any:
    """A copy of JSON content with one value replaced, or removed where `value` is None."""
    copy = json.loads(json.dumps(content))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["schema_version"], 99, "has schema 99, this version reads 2 and older"),
        (["schema_version"], None, "not as this package writes it: KeyError"),
        (["computing", "epochs"], 3, "do not follow from its cases"),
        (["worst_cases", "foreground", 0, "case_id"], "a1", "do not follow from its cases"),
        (["labels", "A", "dice", "pooled", "median"], 0.61, "do not follow from its cases"),
        (["folds", 0, "cases"], None, "not as this package writes it"),
        (["folds", 0, "cases"], {}, "not as this package writes it"),
        (["folds", 0, "cases", "a1", "A", "dice"], "high", "not as this package writes it"),
        (["foreground", "dice", "pooled", "mean"], 0.99, "do not follow from its cases"),
        (["folds", 0, "cases", "a1", "A", "dice"], 1.0, "do not follow from its cases"),
        (["folds", 0, "cases", "a1", "A", "dice"], float("nan"), "Make the summary again"),
        (["folds"], [], "No fold .* is finished"),
    ],
)
def test_a_damaged_or_edited_summary_is_refused(path: list[Any], value: Any, message: str) -> None:
    with pytest.raises(SummaryError, match=message):
        ScoredSummary.from_json(damaged(hand_worked().to_json(), *path, value=value))


def test_quartiles_go_over_the_defined_cases_sorted() -> None:
    # 0.3, 0.6, 0.6, 0.9: the quartiles lie 3/4 of a step from the ends.
    pooled = hand_worked().labels["A"].dice.pooled
    assert [pooled.q1, pooled.median, pooled.q3] == pytest.approx([0.525, 0.6, 0.675])
    # The cases' foreground means: 0.3, 0.5, 0.6, 0.75.
    pooled = hand_worked().foreground.dice.pooled
    assert [pooled.q1, pooled.median, pooled.q3] == pytest.approx([0.45, 0.55, 0.6375])


def test_the_worst_cases_are_named_worst_first_with_their_fold() -> None:
    summary = hand_worked()
    assert [(case.case_id, case.fold) for case in summary.worst_cases()] == [
        ("b1", "fold_1"),
        ("a3", "fold_0"),
        ("a2", "fold_0"),
        ("a1", "fold_0"),
    ]
    # Undefined is not worst, and equal ones stand in the order of their ids.
    assert [case.case_id for case in summary.worst_cases("B")] == ["a3", "a1"]
    assert [case.case_id for case in summary.worst_cases("A")] == ["b1", "a2", "a3", "a1"]


def test_what_the_folds_took_is_added_up_and_memory_is_that_of_the_largest() -> None:
    first, second = (build_fold_result(fold, {fold: {"x": 0.5}}) for fold in FOLDS[:2])
    first = replace(first, gpu_hours=1.5, peak_memory_bytes={"host": 10, "gpu": 7})
    computing = summarize(EXPERIMENT, FOLDS, [first, replace(second, peak_memory_bytes={"host": 20})]).computing
    assert (computing.gpu_hours, computing.gpu_hours_n_folds, computing.epochs) == (1.5, 1, 4)
    assert computing.seconds == {"training": 7.0, "validation": 3.0}
    assert computing.peak_memory_bytes == {"gpu": 7, "host": 20}
    assert hand_worked().computing.gpu_hours is None
    # What a fold does not say took no time, and held no memory.
    silent = replace(second, seconds={"training": 1.0}, peak_memory_bytes={"host": 0})
    computing = summarize(EXPERIMENT, FOLDS, [replace(first, peak_memory_bytes={"gpu": 0}), silent]).computing
    assert computing.seconds == {"training": 4.5, "validation": 1.5}
    assert computing.peak_memory_bytes == {"gpu": 0, "host": 0}


def test_a_summary_of_the_first_schema_is_still_read() -> None:
    written = json.loads((DATA / "cv_summary_1.json").read_text())
    summary = ScoredSummary.from_json(written)
    assert summary == hand_worked()
    assert summary.labels["A"].dice.pooled.median == pytest.approx(0.6)
    with pytest.raises(SummaryError, match="do not follow from its cases"):
        ScoredSummary.from_json(damaged(written, "foreground", "dice", "pooled", "mean", value=0.99))
    other_lists: tuple[Any, ...] = (3, ["fold_0"], {})
    for odd in other_lists:
        with pytest.raises(SummaryError, match="do not follow from its cases"):
            ScoredSummary.from_json(damaged(written, "missing_folds", value=odd))


dices = st.none() | st.floats(0, 1)
folds_of_cases = st.lists(st.lists(st.tuples(dices, dices), min_size=1, max_size=6), min_size=1, max_size=4)


@given(folds_of_cases)
def test_means_lie_between_the_scores_and_every_count_adds_up(folds: Any) -> None:
    results = [
        build_fold_result(f"fold_{k}", {f"{k}_{i}": dict(zip("AB", pair, strict=True)) for i, pair in enumerate(cases)})
        for k, cases in enumerate(folds)
    ]
    summary = summarize(EXPERIMENT, FOLDS, results)
    for index, label in enumerate(summary.labels.values()):
        defined = [pair[index] for cases in folds for pair in cases if pair[index] is not None]
        assert label.dice.pooled.n == sum(map(len, folds))
        assert label.dice.pooled.n_defined == len(defined)
        assert (label.dice.pooled.mean is None) == (not defined)
        for estimate in (label.dice.pooled, label.dice.over_folds):
            assert estimate.mean is None or min(defined) - 1e-12 <= estimate.mean <= max(defined) + 1e-12
    assert ScoredSummary.from_json(json.loads(json.dumps(summary.to_json(), allow_nan=False))) == summary


def test_its_estimates_over_folds_are_called_as_nnunet_tracker_calls_them() -> None:
    found = hand_worked().compute_aggregate_metrics()
    assert {name: value for name, value in found.items() if "dice" in name} == {
        "cv_mean_fg_dice": pytest.approx(0.45),
        "cv_std_fg_dice": pytest.approx(sqrt(0.045)),
        "cv_mean_dice_class_A": pytest.approx(0.5),
        "cv_std_dice_class_A": pytest.approx(sqrt(0.08)),
        "cv_mean_dice_class_B": pytest.approx(0.5),
    }
    assert {name.replace("iou", "dice") for name in found if "iou" in name} == {
        name for name in found if "dice" in name
    }


def test_means_by_fold_are_by_metric_and_label_the_foreground_first() -> None:
    found = hand_worked().fold_means()
    assert list(found) == ["dice", "iou"]
    assert list(found["dice"]) == [None, "A", "B"]
    expected = [(0.6, 0.3), (0.7, 0.3), (0.5, None)]
    assert [tuple(one.values()) for one in found["dice"].values()] == [pytest.approx(one) for one in expected]


def test_it_is_a_table_by_label_by_fold_or_by_case() -> None:
    frames = {by: hand_worked().to_dataframe(by) for by in ("label", "fold", "case")}
    # Two metrics of two labels and the foreground, two folds, four cases with two labels each.
    assert {by: len(frame) for by, frame in frames.items()} == {"label": 6, "fold": 2, "case": 8}
    assert len(hand_worked().to_dataframe()) == 6


def test_intervals_are_read_back_as_they_were_drawn() -> None:
    ends = {"A": (0.5, 0.7), "B": (0.4, 0.6)}

    def drawn(label: LabelSummary, low: float, high: float) -> LabelSummary:
        dice, iou = (
            replace(metric, pooled=replace(metric.pooled, interval=Interval(low + shift, high + shift)))
            for metric, shift in ((label.dice, 0.0), (label.iou, 0.01))
        )
        return LabelSummary(dice, iou)

    bare = hand_worked()
    labels = {name: drawn(bare.labels[name], *ends[name]) for name in ends}
    summary = replace(
        bare,
        labels=labels,
        foreground=drawn(bare.foreground, 0.1, 0.2),
        bootstrap=Bootstrap("case", 4, 9, 1, method="bayesian"),
    )
    read = ScoredSummary.from_json(json.loads(json.dumps(summary.to_json())))
    assert read == summary
    assert read.foreground.iou.pooled.interval == Interval(0.1 + 0.01, 0.2 + 0.01)
