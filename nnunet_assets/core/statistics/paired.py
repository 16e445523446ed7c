"""The difference of two shown means: its interval, its test and its effect size, all from the same random halves.

* Interval: from the largest value that less than 2.5 % of the halves' differences reach from below, to its mirror
  image; so it leaves out 0 exactly where p is below 0.05.
* p: twice the share of the halves in which the difference has not the shown one's sign. Not studentized, at levels that
  depend on nothing: a failure, which raises the variance as well, would make a difference insignificant otherwise.
* Effect: the difference, divided by the sum of both errors; a mean's error is what it lacks of the best value. It has
  the difference's sign and lies between -1 and 1, at 1/3 where one model errs twice as much as the other.

A half in which one model's mean is undefined, because it rightly drew nothing, counts as one in which that model is
perfect. One in which both are undefined speaks for neither side. Of 5 patients no p is below 2 / 2^5.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.statistics.estimate import CONFIDENCE, MIN_PATIENTS, SAME_SCORE, Interval
from nnunet_assets.core.statistics.halves import HalfMeans
from nnunet_assets.core.statistics.scoring import Scale

_PAIRS_AT_ONCE = 50

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PairedDifference:
    """Left minus right.

    Attributes:
        mean: None where one of the two means is undefined; so are interval, p and effect.
        interval: 95 % confidence interval; None with fewer than 6 patients.
        p: Two-sided, not corrected; None with fewer than 6 patients.
        effect: See the module; 0 where neither errs.
        n_left_better: Patients whose own mean is better on the left.
        n_right_better: Likewise; in all others both are as good.
    """

    mean: float | None
    interval: Interval | None
    p: float | None
    effect: float | None
    n_left_better: int
    n_right_better: int


def paired_differences(means: HalfMeans, pairs: Sequence[tuple[int, int]], scale: Scale) -> Iterator[PairedDifference]:
    """Yields the difference of each pair of columns.

    Args:
        means: Of the models.
        pairs: Columns, left and right.
        scale: Of the metric.
    """
    n_patients = means.by_patient.shape[1]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        used, places = np.unique(some, return_inverse=True)
        left, right = places.reshape(-1, 2).T
        by_half, by_patient = (np.round(one[used], _decimals(scale)) for one in (means.by_half, means.by_patient))
        differences = _Differences(by_half[left], by_half[right], scale)
        gains = _filled(by_patient[left], by_patient[right], scale.best) * (-1 if scale.is_lower_better else 1)
        better, worse = (gains > SAME_SCORE).sum(axis=1), (gains < -SAME_SCORE).sum(axis=1)
        for row, (i, j) in enumerate(some):
            shown = float(means.shown[i] - means.shown[j])
            if math.isnan(shown):
                yield PairedDifference(None, None, None, None, int(better[row]), int(worse[row]))
                continue
            errors = abs(scale.best - float(means.shown[i])) + abs(scale.best - float(means.shown[j]))
            has_test = n_patients >= MIN_PATIENTS
            yield PairedDifference(
                mean=shown,
                interval=differences.interval(row) if has_test else None,
                p=differences.p(row, shown) if has_test else None,
                effect=shown / errors if errors else 0.0,
                n_left_better=int(better[row]),
                n_right_better=int(worse[row]),
            )


class _Differences:
    """The halves' differences of some pairs, `(n_pairs, n_halves)`."""

    def __init__(self, left: Array, right: Array, scale: Scale) -> None:
        self._differences = _filled(left, right, scale.best)
        self._reach = scale.reach
        self._n_halves = self._differences.shape[1]
        # Halves that speak for neither side may lie at either end.
        self._n_silent = np.isnan(self._differences).sum(axis=1)
        self._n_not_above = (self._differences <= SAME_SCORE).sum(axis=1) + self._n_silent
        self._n_not_below = (self._differences >= -SAME_SCORE).sum(axis=1) + self._n_silent

    def interval(self, row: int) -> Interval | None:
        place = math.ceil(self._n_halves * (1 - CONFIDENCE) / 2) - 1 - int(self._n_silent[row])
        low, high = -self._reach, self._reach
        if place >= 0:
            mirrored = self._n_halves - int(self._n_silent[row]) - 1 - place
            ordered = np.partition(self._differences[row], (place, mirrored))  # NaN at the end
            low, high = float(ordered[place]), float(ordered[mirrored])
        if math.isinf(low):
            return None
        # Last digits depend on the machine's arithmetic; they say nothing in a drawn number.
        return Interval(round(low, 9) + 0.0, round(high, 9) + 0.0)

    def p(self, row: int, shown: float) -> float:
        if abs(shown) <= SAME_SCORE:
            return 1.0
        n_against = self._n_not_above[row] if shown > 0 else self._n_not_below[row]
        return float(min(1.0, 2 * n_against / self._n_halves))


def _filled(left: Array, right: Array, best: float) -> Array:
    """Returns the differences, with the best value for a mean that alone is undefined; NaN where both are."""
    differences = left - right
    where = np.nonzero(np.isnan(differences))
    one, other = left[where], right[where]
    is_silent = np.isnan(one) & np.isnan(other)
    filled = np.where(np.isnan(one), best, one) - np.where(np.isnan(other), best, other)
    differences[where] = np.where(is_silent, np.nan, filled)
    return differences


def _decimals(scale: Scale) -> int:
    """Returns to how many decimals means are equal: what the arithmetic of numbers of this size is good for."""
    return 12 if scale.reach <= 1 else 9
