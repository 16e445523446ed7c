"""What one label, or the foreground, comes to over the folds of a cross-validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nnunet_assets.core.statistics.estimate import Estimate

Metric = Literal["dice", "iou"]
METRICS: tuple[Metric, ...] = ("dice", "iou")


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one label, or of the foreground.

    Attributes:
        pooled: Over all cases of all finished folds.
        over_folds: Over the means of the finished folds.
        by_fold: Over the cases of each finished fold.
    """

    pooled: Estimate
    over_folds: Estimate
    by_fold: Mapping[str, Estimate]


@dataclass(frozen=True)
class LabelSummary:
    """Both metrics of one label, or of the foreground."""

    dice: MetricSummary
    iou: MetricSummary
