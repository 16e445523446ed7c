"""Dice and IoU of two label images by label, as nnU-Net scores a validation case, and nothing else of them."""

import numpy as np

from nnunet_assets.core.evaluation.metric_policy import MetricPolicy
from nnunet_assets.core.validation.case_results import LabelScore


def overlap_scores(reference: np.ndarray, prediction: np.ndarray, policy: MetricPolicy) -> dict[str, LabelScore]:
    """Returns the scores by label name; both None where neither image holds the label.

    Args:
        reference: Voxel values; two or three axes.
        prediction: Likewise, of the same shape.
        policy: Which labels there are; voxels that the reference marks as ignored do not count.
    """
    is_counted = None if policy.ignore_value is None else reference != policy.ignore_value
    scores = {}
    for name, rule in policy.labels.items():
        masks = [np.isin(image, rule.values) for image in (reference, prediction)]
        if is_counted is not None:
            masks = [mask & is_counted for mask in masks]
        n_reference, n_prediction, n_both = (int(np.count_nonzero(mask)) for mask in (*masks, masks[0] & masks[1]))
        n_all, n_either = n_reference + n_prediction, n_reference + n_prediction - n_both
        scores[name] = LabelScore(2 * n_both / n_all, n_both / n_either) if n_all else LabelScore(None, None)
    return scores
