"""Dice and IoU alone, worked by hand, and equal to those of the whole evaluation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.evaluation.case_metrics import case_metrics
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.core.evaluation.overlap import overlap_scores
from nnunet_assets.core.validation.case_results import LabelScore

POLICY = MetricPolicy(
    {"whole": LabelRule((1, 2)), "core": LabelRule((2,)), "other": LabelRule((3,))}, (0, 1, 2, 3, 9), 9
)


def test_regions_ignored_voxels_and_absent_labels() -> None:
    #                    both   reference alone   prediction alone   ignored
    reference = np.array([[1, 2, 1, 0, 9]])
    prediction = np.array([[1, 2, 0, 2, 2]])
    assert overlap_scores(reference, prediction, POLICY) == {
        "whole": LabelScore(2 * 2 / 6, 2 / 4),
        "core": LabelScore(2 * 1 / 3, 1 / 2),
        "other": LabelScore(None, None),
    }


def test_a_label_that_is_missed_scores_zero() -> None:
    assert overlap_scores(np.array([[3]]), np.array([[0]]), POLICY)["other"] == LabelScore(0.0, 0.0)


@given(st.lists(st.tuples(*[st.sampled_from((0, 1, 2, 3))] * 2), min_size=4, max_size=40))
def test_the_evaluation_has_the_same(voxels: list[tuple[int, int]]) -> None:
    reference, prediction = np.array(voxels).T[:, None, :]
    whole = case_metrics(reference, prediction, (1.0, 1.0), POLICY)
    found = overlap_scores(reference, prediction, POLICY)
    assert {name: (score.dice, score.iou) for name, score in found.items()} == {
        name: (metrics.dice, metrics.iou) for name, metrics in whole.items()
    }
