"""The gap between a cross-validation and a test set, worked by hand: two labels, one absent in some cases."""

import json

import pytest

from nnunet_assets.core.evaluation.evaluation import SHOWN_METRICS
from nnunet_assets.core.evaluation.evaluation_intervals import add_intervals
from nnunet_assets.core.evaluation.gap import (
    FOREGROUND_METRICS,
    GAP_METRICS,
    CaseValues,
    Gap,
    Values,
    drawn_for_gaps,
    gaps_from_json,
    gaps_to_json,
)
from nnunet_assets.core.evaluation.gap import find_gaps as find_gaps_of_cases
from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals
from nnunet_assets.core.splits.splits import HOLD_OUT
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM
from nnunet_assets.reports.tables.gap_tables import gap_headline, gap_notes, gap_records, gaps_to_csv, what_of


def values_of(**dice: Values) -> CaseValues:
    """Returns cases with this Dice by label; every other metric is undefined, as where nobody measured it."""
    return {
        name: {metric: values if metric == "dice" else [None] * len(values) for metric in GAP_METRICS}
        for name, values in dice.items()
    }


def find_gaps(test: CaseValues, cross_validation: CaseValues) -> list[Gap]:
    n_cases = len(next(iter(test.values()))["dice"])
    return find_gaps_of_cases(test, cross_validation, [f"case_{k:02d}" for k in range(n_cases)])


VALIDATION = values_of(organ=[0.9, 0.8, 0.7], lesion=[0.5, None, 0.7])
"""Pooled: organ 0.8 of 3 cases, lesion 0.6 of 2, foreground 0.7."""
TEST = values_of(organ=[0.6, 0.8], lesion=[None, 0.2])
"""Organ 0.7 of 2 cases, lesion 0.2 of 1, foreground 0.45; the cases' own means are 0.6 and 0.5."""


FOLDS = {"fold_0": "its commit", "fold_1": "another"}


def gap_of(gaps: list[Gap], label: str | None, metric: str = "dice") -> Gap:
    (found,) = [gap for gap in gaps if (gap.label, gap.metric) == (label, metric)]
    return found


def test_a_gap_is_the_test_mean_minus_the_pooled_mean_with_both_counts() -> None:
    gaps = find_gaps(TEST, VALIDATION)

    organ, lesion = gap_of(gaps, "organ"), gap_of(gaps, "lesion")
    assert organ.difference == pytest.approx(0.7 - 0.8, abs=1e-12)
    assert (organ.test.n, organ.cross_validation.n) == (2, 3)
    assert lesion.difference == pytest.approx(0.2 - 0.6, abs=1e-12)
    assert (lesion.test.n_defined, lesion.test.n) == (1, 2)
    assert (lesion.cross_validation.n_defined, lesion.cross_validation.n) == (2, 3)


def test_the_foreground_is_the_mean_of_the_label_means_as_in_the_summary() -> None:
    foreground = gap_of(find_gaps(TEST, VALIDATION), None)

    assert foreground.test.mean == pytest.approx(0.45, abs=1e-12)
    assert foreground.cross_validation.mean == pytest.approx(0.7, abs=1e-12)
    assert foreground.difference == pytest.approx(-0.25, abs=1e-12)
    assert (foreground.test.n, foreground.test.n_defined) == (2, 2)


def test_only_scores_that_have_a_foreground_mean_get_one() -> None:
    gaps = find_gaps(TEST, VALIDATION)
    assert [gap.metric for gap in gaps if gap.label is None] == list(FOREGROUND_METRICS)
    assert set(FOREGROUND_METRICS) < set(GAP_METRICS) < set(METRIC_COLUMNS)
    assert set(SHOWN_METRICS) <= set(GAP_METRICS)


def test_what_is_undefined_on_one_side_has_no_gap_and_is_not_zero() -> None:
    gaps = find_gaps(values_of(organ=[None, None]), values_of(organ=[0.9]))

    assert gap_of(gaps, "organ").difference is None
    (row, foreground) = gap_records(gaps)
    assert (row["test"], row["cross-validation"]) == ("undefined", "0.900")
    assert row["test − cross-validation"] == foreground["test − cross-validation"] == "undefined"
    assert gap_headline(gaps) == "Dice undefined on the test set, 0.900 in the cross-validation"


def test_the_interval_is_that_of_the_test_mean_and_fewer_than_six_cases_have_none() -> None:
    six = [0.5, 0.9, 0.8, 0.7, 0.6, 0.95]
    found = find_gaps(values_of(organ=six), values_of(organ=[0.9] * 20))
    interval = gap_of(found, "organ").test.interval
    assert interval is not None
    assert interval.low < gap_of(found, "organ").test.mean < interval.high
    # One label: the foreground is that label.
    assert gap_of(found, None).test.interval == interval
    assert gap_of(find_gaps(values_of(organ=six[:5]), VALIDATION), "organ").test.interval is None


def test_the_interval_is_the_one_that_the_evaluation_of_the_test_set_has() -> None:
    dices = [0.5 + k / 40 for k in range(12)]
    totals = LabelTotals()
    for dice in dices:
        totals.add({**dict.fromkeys(METRIC_COLUMNS), "dice": dice})
    add_intervals({"organ": totals}, [f"case_{k:02d}" for k in range(12)], None)
    interval = gap_of(find_gaps(values_of(organ=dices), VALIDATION), "organ").test.interval
    assert interval == totals.estimate("dice").interval


def test_the_short_table_has_the_metrics_that_were_measured() -> None:
    assert gap_records(find_gaps(TEST, VALIDATION)) == [
        {
            "label": label,
            "metric": "Dice",
            "test": test,
            "95 % interval": "none",
            "cross-validation": validation,
            "test − cross-validation": gap,
            "test cases": n_test,
            "validation cases": n_validation,
        }
        for label, test, validation, gap, n_test, n_validation in [
            ("organ", "0.700", "0.800", "−0.100", "2 of 2", "3 of 3"),
            ("lesion", "0.200", "0.600", "−0.400", "1 of 2", "2 of 3"),
            ("foreground mean", "0.450", "0.700", "−0.250", "2 of 2", "3 of 3"),
        ]
    ]
    headline = gap_headline(find_gaps(TEST, VALIDATION))
    assert headline == "Dice 0.450 on the test set, 0.700 in the cross-validation (−0.250)"


def test_csv_and_json_have_every_metric_and_leave_the_undefined_empty() -> None:
    gaps = find_gaps(TEST, VALIDATION)

    lines = gaps_to_csv(gaps).splitlines()
    assert len(lines) == 1 + 2 * len(GAP_METRICS) + len(FOREGROUND_METRICS)
    assert lines[0].startswith("level,label,metric,difference,test_mean,test_ci95_low")
    (hd95,) = [line for line in lines if line.startswith("label,organ,hd95_mm,")]
    assert hd95 == "label,organ,hd95_mm,,,,,,2,0,,,3,0,,,,,"
    content = json.loads(json.dumps(gaps_to_json(gaps, "digest", FOLDS), allow_nan=False))
    assert content["predictions"] == "digest"
    drawn = drawn_for_gaps(content)
    assert (drawn.n_clusters, drawn.method) == (2, "bayesian")
    assert content["gaps"][0]["difference"] == pytest.approx(-0.1)
    assert content["gaps"][4]["difference"] is None


def test_what_was_written_is_read_as_it_was_unless_the_folds_are_others_now() -> None:
    six = [0.5, 0.9, 0.8, 0.7, 0.6, None, 0.95]
    gaps = find_gaps(values_of(organ=six), values_of(organ=[0.9]))
    content = json.loads(json.dumps(gaps_to_json(gaps, "digest", FOLDS)))
    assert gaps_from_json(content, FOLDS) == gaps
    assert gaps_from_json(content, {**FOLDS, "fold_1": "trained again"}) is None
    assert gaps_from_json({**content, "schema": 0}, FOLDS) is None


def distances_of(hd95_mm: Values, dice: Values, *, diagonal_mm: float | None = 100.0) -> CaseValues:
    values = values_of(lesion=dice)["lesion"]
    return {"lesion": {**values, "hd95_mm": hd95_mm, DIAGONAL_MM: [diagonal_mm] * len(dice)}}


# Each side misses or hallucinates one; the test set misses the hardest of its lesions, and looks nearer for it.
MISSING = distances_of([2.0, None, None], [0.8, 0.0, None])
VALIDATED = distances_of([4.0, 6.0, 2.0, None], [0.7, 0.6, 0.8, 0.0], diagonal_mm=50.0)


def test_a_gap_of_distances_says_which_mean_it_is_of_and_has_the_one_that_counts_missed_objects_beside_it() -> None:
    gap = gap_of(find_gaps(MISSING, VALIDATED), "lesion", "hd95_mm")
    assert gap.difference == pytest.approx(2.0 - 4.0)
    assert gap.with_missed is not None
    # The larger diagonal counts on both sides, and what is in neither mask on none.
    assert gap.with_missed.test.mean == pytest.approx((2 + 100) / 2)
    assert gap.with_missed.cross_validation.mean == pytest.approx((4 + 6 + 2 + 100) / 4)
    assert gap.with_missed.difference == pytest.approx(51 - 28)
    rows = [row for row in gap_records(find_gaps(MISSING, VALIDATED)) if row["metric"].startswith("HD95 [mm]")]
    assert [(row["metric"], row["test − cross-validation"], row["test cases"]) for row in rows] == [
        ("HD95 [mm], where both have it", "−2.000", "1 of 3"),
        ("HD95 [mm], missed ones counted", "+23.000", "2 of 3"),
    ]
    (line,) = [line for line in gaps_to_csv(find_gaps(MISSING, VALIDATED)).splitlines() if ",hd95_mm," in line]
    assert line.endswith(",23.0,51.0,2,28.0,4")
    (_, note) = gap_notes(find_gaps(MISSING, VALIDATED))
    assert "where both have it" in note


def test_one_more_failure_never_makes_the_gap_that_counts_it_look_better() -> None:
    worse = distances_of([None, None, None], [0.0, 0.0, None])
    before, after = (gap_of(find_gaps(test, VALIDATED), "lesion", "hd95_mm") for test in (MISSING, worse))
    assert after.difference is None
    assert before.with_missed is not None
    assert after.with_missed is not None
    assert after.with_missed.difference == pytest.approx(100 - 28)
    rows = [row["metric"] for row in gap_records(find_gaps(worse, VALIDATED)) if row["metric"].startswith("HD95 [mm]")]
    assert rows == ["HD95 [mm], missed ones counted"]


def test_where_nothing_is_missed_or_the_size_of_an_image_is_not_known_there_is_one_row() -> None:
    whole = distances_of([2.0, 3.0], [0.8, 0.7])
    for test in (whole, distances_of([2.0, None], [0.8, 0.0], diagonal_mm=None)):
        gaps = find_gaps(test, whole)
        rows = [row["metric"] for row in gap_records(gaps) if row["metric"].startswith("HD95 [mm]")]
        assert rows == ["HD95 [mm], where both have it"]


def test_what_counts_missed_objects_is_read_as_it_was_and_older_files_do_not_have_it() -> None:
    gaps = find_gaps(MISSING, VALIDATED)
    content = json.loads(json.dumps(gaps_to_json(gaps, "digest", FOLDS), allow_nan=False))
    assert gaps_from_json(content, FOLDS) == gaps
    older = {**content, "gaps": [{k: v for k, v in gap.items() if k != "with_missed"} for gap in content["gaps"]]}
    read = gaps_from_json(older, FOLDS)
    assert read is not None
    assert all(gap.with_missed is None for gap in read)
    assert [gap.difference for gap in read] == [gap.difference for gap in gaps]


def test_the_gap_to_a_hold_out_is_called_so() -> None:
    gaps = find_gaps(TEST, VALIDATION)
    assert what_of(["fold_0"]) == HOLD_OUT
    assert what_of(["fold_0", "fold_1"]) == "cross-validation"
    texts = [gap_headline(gaps, HOLD_OUT), *gap_notes(gaps, HOLD_OUT), *map(str, gap_records(gaps, HOLD_OUT))]
    assert texts[0] == "Dice 0.450 on the test set, 0.700 in the hold-out (−0.250)"
    assert not any("cross-validation" in text or "all folds" in text for text in texts)
