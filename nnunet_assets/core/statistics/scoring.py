"""What an object of a case counts in a mean of scores, and which way a score is better: settled here and nowhere else.

* In neither mask: there was nothing to find and nothing was found. Undefined, and left out of the mean, as in nnU-Net.
* Missed (in the reference alone) or hallucinated (in the prediction alone): the worst value that the metric has. For
  Dice, IoU, NSD and precision that is 0; a distance has no end of its own, so that it is the diagonal of the largest
  image that is compared, which no measured distance exceeds. One value for all cases: with each image's own diagonal a
  hallucination in a small image would count less than a poor mask in a large one, and improve the mean.
* Sensitivity alone asks what of the reference was found, so that it is undefined wherever there is no reference.

So no failure improves a mean: every score lies between the best and the worst value, a failure replaces a score by one
that is no better, or adds the worst value to what the mean is taken over. The mean of label means inherits that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_MM = "_mm"
"""How the name of every distance between surfaces ends."""

DIAGONAL_MM = "image_diagonal_mm"
"""The column of the table of cases that says how large an image is; evaluations of older versions have none."""

COUNTED, WHERE_BOTH = "missed ones counted", "where both have it"
"""What the title of a mean adds to the metric's name: the two means of a metric that `is_undefined_by_failure`, this
module's and that over what was measured, must not be taken for each other."""


@dataclass(frozen=True)
class Scale:
    """The ends of a metric.

    Attributes:
        best: What a perfect prediction scores.
        worst: What a missed or hallucinated object counts; None: a distance, and the images' size is not known.
    """

    best: float
    worst: float | None

    @property
    def is_lower_better(self) -> bool:
        """Whether the lowest mean is the best."""
        return self.worst is None or self.worst > self.best

    @property
    def reach(self) -> float:
        """How far two means can be apart; infinite where the worst value is not known."""
        return float("inf") if self.worst is None else abs(self.best - self.worst)


def scale_of(metric: str, diagonal_mm: float | None = None) -> Scale:
    """Returns the ends of a metric that says which of two predictions is the better one.

    Args:
        metric: `dice`, `hd95_mm` ...; what ends in `_mm` is a distance.
        diagonal_mm: Of the largest image that is compared; only a distance needs it. None: not known.
    """
    return Scale(best=0.0, worst=diagonal_mm) if metric.endswith(_MM) else Scale(best=1.0, worst=0.0)


def is_undefined_by_failure(metric: str) -> bool:
    """Tells whether a metric cannot be measured of an object that was missed, so that a mean may count it or not."""
    return metric.endswith(_MM) or metric == "precision"


def is_hurt_by_hallucination(metric: str) -> bool:
    """Tells whether an object that is drawn where there is none counts; sensitivity is undefined there."""
    return metric != "sensitivity"


def is_failure(metric: str, metrics: Mapping[str, float | int | None]) -> bool:
    """Tells whether a metric is undefined in a case because its object was missed or hallucinated.

    Args:
        metric: As for `scale_of`.
        metrics: What was measured of the object in the case, `dice` among it, which is undefined only where both masks
            are empty.
    """
    return is_undefined_by_failure(metric) and metrics[metric] is None and metrics["dice"] is not None


def counted(metric: str, metrics: Mapping[str, float | int | None], scale: Scale) -> float | None:
    """Returns what an object of a case counts; None: undefined, or a failure whose distance is not known.

    Args:
        metric: As for `scale_of`.
        metrics: As for `is_failure`.
        scale: Of the metric.
    """
    return scale.worst if is_failure(metric, metrics) else metrics[metric]
