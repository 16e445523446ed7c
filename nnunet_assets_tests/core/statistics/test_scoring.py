"""What a missed, hallucinated or absent object counts, and which way a score is better."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnunet_assets.core.evaluation.case_metrics import case_metrics
from nnunet_assets.core.evaluation.evaluation import EVALUATED_METRICS
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.core.statistics.scoring import Scale, counted, is_failure, scale_of

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


MASKS = arrays(np.uint8, (4, 5, 6), elements=st.integers(0, 1))
POLICY = MetricPolicy(labels={"organ": LabelRule((1,))}, voxel_values=(0, 1))


@settings(max_examples=60, deadline=None)
@given(MASKS, MASKS, st.tuples(*[st.sampled_from([0.5, 1.0, 7.0])] * 3))
def test_no_prediction_is_worse_than_a_missed_one(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: tuple[float, float, float]
) -> None:
    reference[0, 0, 0] = 1
    nothing = np.zeros_like(reference)
    found, missed, false = (
        asdict(case_metrics(one, other, spacing_mm, POLICY)["organ"])
        for one, other in ((reference, prediction), (reference, nothing), (nothing, reference))
    )
    for metric in ("dice", "iou", *EVALUATED_METRICS):
        scale = scale_of(metric, found["image_diagonal_mm"])
        score, worst = counted(metric, found, scale), counted(metric, missed, scale)
        assert score is not None
        assert worst == scale.worst
        assert worst >= score if scale.is_lower_better else worst <= score
        assert counted(metric, false, scale) in {scale.worst, None if metric == "sensitivity" else scale.worst}
