"""Quartiles and intervals of an evaluation's metrics: by hand, and beside those of the summary."""

import math
from collections.abc import Mapping, Sequence

import pytest

from nnunet_assets.core.evaluation.evaluation_intervals import add_intervals
from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals, label_estimate
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.statistics.estimate import Bootstrap, Estimate
from nnunet_assets.core.statistics.mean_intervals import N_RESAMPLES, SEED
from nnunet_assets.core.summary.intervals import with_intervals
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.validation.case_results import CaseResult, LabelScore
from nnunet_assets.reports.text.estimates import interval_text, mean_and_sd, median_and_quartiles
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS

NO_METRICS = {**dict.fromkeys(METRIC_COLUMNS), "reference_voxels": 10, "prediction_voxels": 10}


def totals_of(metric: str, values: Sequence[float | None]) -> LabelTotals:
    totals = LabelTotals()
    for value in values:
        totals.add({**NO_METRICS, metric: value})
    return totals


def hd95_mm(*values: float | None) -> Estimate:
    return estimate_of("hd95_mm", *values)


def estimate_of(metric: str, *values: float | None, patients: Sequence[str] | None = None) -> Estimate:
    totals = totals_of(metric, values)
    cases = [f"c{k}" for k in range(len(values))]
    add_intervals({"organ": totals}, cases, dict(zip(cases, patients, strict=True)) if patients else None)
    return totals.estimate(metric)


def test_quartiles_are_those_between_the_sorted_values() -> None:
    # Of 1, 2, 3, 4 the first quartile lies three quarters of the way from 1 to 2.
    found = hd95_mm(4.0, 1.0, None, 3.0, 2.0)
    assert (found.q1, found.median, found.q3) == (1.75, 2.5, 3.25)
    assert median_and_quartiles(found) == "2.500 [1.750, 3.250]"


def test_distances_have_an_interval_from_sixty_cases_on() -> None:
    few, found = hd95_mm(*[2.5] * 59, None), hd95_mm(*[2.5] * 60, None)
    assert (few.mean, few.interval, interval_text(few)) == (2.5, None, "none")
    assert found.interval is not None
    # Twice the largest stands for the worst, half of a patient of 60.5 for the one who is added.
    assert found.interval.low < 2.45
    assert 2.55 < found.interval.high < 2.8


def test_many_evenly_spread_values_have_nearly_the_interval_of_students_t() -> None:
    # 1 to 600 mm: mean 300.5, SD sqrt(600 * 601 / 12), t of 599 degrees of freedom 1.964.
    found = hd95_mm(*map(float, range(1, 601))).interval
    half = 1.964 * math.sqrt(600 * 601 / 12) / math.sqrt(600)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((300.5 - half, 300.5 + half), abs=0.1 * half)


def test_undefined_cases_are_left_out_and_five_defined_ones_are_too_few() -> None:
    found = estimate_of("nsd", 0.1, 0.2, 0.3, 0.4, 0.5, None, None)
    assert (found.mean, found.n, found.n_defined) == (pytest.approx(0.3), 7, 5)
    assert (found.interval, interval_text(found)) == (None, "none")
    assert estimate_of("nsd", 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, None).interval is not None


def test_one_case_has_neither_quartiles_nor_an_interval() -> None:
    found = hd95_mm(2.0)
    assert found == Estimate(mean=2.0, sd=None, median=2.0, n=1, n_defined=1)
    assert median_and_quartiles(found) == "2.000"


def test_a_metric_that_no_case_has_is_undefined() -> None:
    assert hd95_mm(*[None] * 8) == Estimate(mean=None, sd=None, median=None, n=8, n_defined=0)


def test_patients_are_drawn_with_all_their_cases() -> None:
    values = [0.10, 0.11, 0.40, 0.41, 0.20, 0.21, 0.60, 0.61, 0.30, 0.31, 0.90, 0.91]
    alone = estimate_of("nsd", *values)
    in_pairs = estimate_of("nsd", *values, patients=[f"p{k // 2}" for k in range(12)])
    assert alone.interval is not None
    assert in_pairs.interval is not None
    assert alone.mean == in_pairs.mean
    assert in_pairs.interval.low < alone.interval.low < alone.interval.high < in_pairs.interval.high
    # Five patients are too few, whatever their number of cases.
    assert estimate_of("nsd", *values, patients=[f"p{k % 5}" for k in range(12)]).interval is None


def test_it_is_said_what_was_drawn() -> None:
    def drawn(patients: Mapping[str, str] | None) -> Bootstrap:
        return add_intervals({"organ": totals_of("nsd", [0.5] * 7)}, list("abcdefg"), patients)

    assert drawn(None) == Bootstrap("case", 7, n_resamples=N_RESAMPLES, seed=SEED, method="bayesian")
    patients = dict.fromkeys("abcdef", "p") | {"g": "q"}
    assert drawn(patients) == Bootstrap("patient", 2, N_RESAMPLES, SEED, method="bayesian")


# B is undefined in every third case, so that its interval is of seven cases.
DICES = [0.5, 0.9, 0.8, 0.7, 0.6, 0.95, 0.85, 0.75, 0.65, 0.9]
SCORES = [
    {
        "A": LabelScore(dice, dice / (2 - dice)),
        "B": LabelScore(None, None) if k % 3 == 1 else LabelScore(dice / 2, dice / 3),
    }
    for k, dice in enumerate(DICES)
]
CASES = [CaseResult(f"c{k}", scores) for k, scores in enumerate(SCORES)]


@pytest.mark.parametrize("patients", [None, {case.case_id: f"p{min(k, 7)}" for k, case in enumerate(CASES)}])
def test_dice_and_iou_have_the_intervals_of_the_summary_to_the_last_digit(patients: Mapping[str, str] | None) -> None:
    folds = [
        ScoredFold("fold_0", INPUTS, tuple(CASES[:6]), 1, {}),
        ScoredFold("fold_1", INPUTS, tuple(CASES[6:]), 1, {}),
    ]
    summary = with_intervals(summarize(EXPERIMENT, ["fold_0", "fold_1"], folds), patients)
    totals = {"A": LabelTotals(), "B": LabelTotals()}
    for scores in SCORES:
        for name, score in scores.items():
            totals[name].add({**NO_METRICS, "dice": score.dice, "iou": score.iou})

    assert add_intervals(totals, [case.case_id for case in CASES], patients) == summary.bootstrap

    for name, label in summary.labels.items():
        for metric in ("dice", "iou"):
            pooled = getattr(label, metric).pooled
            assert pooled.interval is not None
            assert totals[name].estimate(metric) == pooled
            assert label_estimate(totals[name].to_json(), metric) == pooled


def test_what_an_older_version_wrote_has_no_quartiles_and_no_interval() -> None:
    older = {"n_cases": 3, "metrics": {"nsd": {"mean": 0.5, "sd": 0.1, "median": 0.5, "n": 3, "n_defined": 3}}}
    found = label_estimate(older, "nsd")
    assert (mean_and_sd(found), interval_text(found), median_and_quartiles(found)) == ("0.500 ± 0.100", "none", "0.500")
