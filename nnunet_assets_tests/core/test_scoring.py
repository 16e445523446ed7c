"""What a missed, hallucinated or absent object counts, and which way a score is better."""

import pytest

from nnunet_assets.core.evaluation import EVALUATED_METRICS
from nnunet_assets.core.scoring import Scale, counted, is_failure, scale_of

DISTANCES = [metric for metric in EVALUATED_METRICS if metric.endswith("_mm")]
SHARES = [metric for metric in EVALUATED_METRICS if metric.startswith("nsd")]
BOTH_EMPTY = dict.fromkeys(("dice", *EVALUATED_METRICS))
MISSED = {**BOTH_EMPTY, **dict.fromkeys(("dice", *SHARES, "sensitivity"), 0.0)}
HALLUCINATED = {**BOTH_EMPTY, **dict.fromkeys(("dice", *SHARES, "precision"), 0.0)}
FOUND = {
    "dice": 0.9,
    "sensitivity": 0.7,
    "precision": 0.6,
    **dict.fromkeys(SHARES, 0.8),
    **dict.fromkeys(DISTANCES, 2.5),
}


@pytest.mark.parametrize("metric", ["dice", *EVALUATED_METRICS])
def test_a_failure_counts_the_worst_value_and_what_is_in_neither_mask_nothing(metric: str) -> None:
    scale = scale_of(metric, diagonal_mm=400.0)
    worst = 400.0 if metric.endswith("_mm") else 0.0
    assert counted(metric, BOTH_EMPTY, scale) is None
    assert counted(metric, MISSED, scale) == worst
    assert counted(metric, HALLUCINATED, scale) == (None if metric == "sensitivity" else worst)
    assert counted(metric, FOUND, scale) == FOUND[metric]


def test_of_distances_alone_the_lowest_is_the_best() -> None:
    assert {metric for metric in EVALUATED_METRICS if scale_of(metric).is_lower_better} == {*DISTANCES}
    assert scale_of("hd95_mm", 400.0) == Scale(best=0.0, worst=400.0)
    assert scale_of("dice") == scale_of("nsd", 400.0) == Scale(best=1.0, worst=0.0)
    assert (scale_of("dice").reach, scale_of("assd_mm", 400.0).reach, scale_of("assd_mm").reach) == (
        1,
        400,
        float("inf"),
    )


def test_a_distance_without_a_known_diagonal_stays_unknown_and_is_a_failure_all_the_same() -> None:
    assert counted("hd95_mm", MISSED, scale_of("hd95_mm")) is None
    assert is_failure("hd95_mm", MISSED)
    assert not is_failure("hd95_mm", BOTH_EMPTY)
