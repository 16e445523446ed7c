"""Confidence intervals of means over cases, from patients drawn with replacement.

What is drawn is a patient with all its cases, since the cases of one patient are alike; where nobody knows whose a
case is, each counts as a patient of its own, and the interval is too narrow if that is wrong. Undefined values (NaN)
are left out of a mean as in the summary itself.

The intervals are bias-corrected and accelerated (BCa), at the expanded level of Hesterberg (2015, The American
Statistician 69, 371-386), which makes up for what a bootstrap of n patients lacks of Student's t: sqrt((n - 1) / n) and
the difference between the normal and the t quantile. On skewed scores of 30 patients plain percentiles cover the mean
in 93 % of samples, plain BCa in 93 % to 94 %, these in 94 % to 96 %. scipy.stats.bootstrap has BCa too, but draws anew
for each label and metric, where one matrix product serves them all. No method sees what is not in the sample: where one
case in twenty fails, a fifth of all samples of 30 cases hold no failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.estimate import CONFIDENCE, SAME_SCORE, Interval

N_RESAMPLES = 9999
SEED = 20150815

MIN_PATIENTS = 6
"""With fewer an interval would say more about the method than about the patients."""

_ROWS_AT_ONCE = 500

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Replicates:
    """Means of K columns, as they are and as they would be with other patients.

    Attributes:
        estimate: `(K,)`, over all cases.
        drawn: `(n_resamples, K)`, NaN where a resample has no defined value.
        left_out: `(n_patients, K)`, without one patient each.
        n_patients: `(K,)`, those that have a defined value.
    """

    estimate: Array
    drawn: Array
    left_out: Array
    n_patients: NDArray[np.int64]

    def interval(self, column: int = 0) -> Interval | None:
        """Returns the 95 % confidence interval of a column's mean; None with fewer than 6 patients."""
        n = int(self.n_patients[column])
        if n < MIN_PATIENTS:
            return None
        drawn = self.drawn[:, column]
        return _bca(self.estimate[column], drawn[~np.isnan(drawn)], self.left_out[:, column], n)

    def over_columns(self) -> "Replicates":
        """Returns the mean over the columns, as one column; undefined ones are left out of it."""
        return Replicates(
            estimate=_mean_of_defined(self.estimate[None]),
            drawn=_mean_of_defined(self.drawn)[:, None],
            left_out=_mean_of_defined(self.left_out)[:, None],
            n_patients=self.n_patients.max(initial=0, keepdims=True),
        )


class Resamples:
    """Patients drawn with replacement, as many as there are, many times: the same draws for all that is asked of them.

    Args:
        patients: The patient of each case.
        n_resamples: Times to draw.
        seed: The same seed, patients and number give the same draws.
    """

    def __init__(self, patients: Sequence[str], *, n_resamples: int = N_RESAMPLES, seed: int = SEED) -> None:
        names, self._patient_of_case = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        self.n_patients = len(names)
        random = np.random.default_rng(seed)
        # How often each resample holds each patient; two bytes, since 10,000 patients make 10^8 numbers.
        self._times = np.zeros((n_resamples, self.n_patients), dtype=np.uint16)
        for row in range(n_resamples):
            drawn = random.integers(self.n_patients, size=self.n_patients)
            self._times[row] = np.bincount(drawn, minlength=self.n_patients)

    def means(self, values: Array) -> Replicates:
        """Returns the means of the columns over the cases.

        Args:
            values: `(n_cases, K)`, NaN where undefined.
        """
        is_defined = ~np.isnan(values)
        sums, counts = self._by_patient(np.where(is_defined, values, 0.0)), self._by_patient(is_defined.astype(float))
        parts = [
            _divided(times @ sums, times @ counts)
            for start in range(0, len(self._times), _ROWS_AT_ONCE)
            for times in [self._times[start : start + _ROWS_AT_ONCE].astype(float)]
        ]
        return Replicates(
            estimate=_divided(sums.sum(axis=0), counts.sum(axis=0)),
            drawn=np.concatenate(parts),
            left_out=_divided(sums.sum(axis=0) - sums, counts.sum(axis=0) - counts),
            n_patients=np.count_nonzero(counts, axis=0),
        )

    def by_patient(self, values: Array) -> Array:
        """Returns the mean of each patient's defined values, `(n_patients,)`, NaN where it has none.

        Args:
            values: `(n_cases,)`, NaN where undefined.
        """
        is_defined = ~np.isnan(values)
        sums = self._by_patient(np.where(is_defined, values, 0.0)[:, None])
        return _divided(sums, self._by_patient(is_defined.astype(float)[:, None]))[:, 0]

    def _by_patient(self, values: Array) -> Array:
        sums = np.zeros((self.n_patients, values.shape[1]))
        np.add.at(sums, self._patient_of_case, values)
        return sums


def _bca(estimate: float, drawn: Array, left_out: Array, n_patients: int) -> Interval:
    from scipy.special import ndtr, ndtri, stdtrit

    # Leaving out a patient without a defined value changes nothing, and may leave nothing.
    influence = np.nanmean(left_out) - left_out[~np.isnan(left_out)]
    variation = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * variation**1.5) if variation else 0.0
    # Half of the ties, so that a sample of equal values has no bias; whether one is exact depends on the machine.
    is_tie = np.isclose(drawn, estimate, rtol=SAME_SCORE, atol=SAME_SCORE)
    below = (np.count_nonzero(drawn[~is_tie] < estimate) + is_tie.sum() / 2) / len(drawn)
    bias = float(ndtri(np.clip(below, 1 / (len(drawn) + 1), 1 - 1 / (len(drawn) + 1))))
    reach = float(-stdtrit(n_patients - 1, (1 - CONFIDENCE) / 2)) * np.sqrt(n_patients / (n_patients - 1))
    levels = [bias + (bias + z) / (1 - acceleration * (bias + z)) for z in (-reach, reach)]
    low, high = np.quantile(drawn, ndtr(levels))
    # Last digits depend on the machine's arithmetic; they say nothing in a drawn number.
    return Interval(round(float(low), 9), round(float(high), 9))


def _divided(sums: Array, counts: Array) -> Array:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _mean_of_defined(rows: Array) -> Array:
    is_defined = ~np.isnan(rows)
    return _divided(np.where(is_defined, rows, 0.0).sum(axis=1), is_defined.sum(axis=1).astype(float))
