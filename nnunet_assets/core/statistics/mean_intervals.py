"""Confidence intervals of means over cases that also allow for failures which no case shows.

A resample of the cases cannot hold what none of them holds: of cohorts of 10 cases, drawn where one case in ten scores
0, a third has no 0 at all, and every bootstrap of such a cohort misses the truth. So the interval is a Bayesian
bootstrap (Rubin 1981: each patient with all its cases gets an exponential weight) with one patient more, who scores the
worst possible at the low end and the best possible at the high end (Gaffke 2005, Mathematical Methods of Statistics 14:
with a full weight the level holds for bounded scores of whatever distribution, in every trial known). Both ends follow
each score: one that gets worse moves neither end up, and one more failed case does not either.

Of more than 30 patients the one who is added weighs 30 / n: failures that befall one case in twenty or more are still
covered, and the interval comes down to that of the cases, where a full weight would keep it twice as wide at 100. With
fewer than 6 patients there is none. Lengths and volumes know no worst value: twice the largest one stands for it, which
holds only once failures of one case in twenty are hardly ever in none of the cases, at 60 patients. What was measured
is in `docs/intervals.md`, by `benchmarks/coverage.py`.

Whose a case is may not be known; then each counts as a patient of its own, and the interval is too narrow if that is
wrong. Undefined values (NaN) are left out of a mean as in the summary itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.statistics.estimate import (
    CONFIDENCE,
    FULL_WEIGHT_PATIENTS,
    MIN_PATIENTS,
    MIN_PATIENTS_UNBOUNDED,
    Bootstrap,
    Interval,
)

N_RESAMPLES = 9999
SEED = 20150815

_PATIENTS_AT_ONCE = 500

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """The values that a score can have; None: without a bound on this side."""

    lowest: float | None
    highest: float | None

    @property
    def min_patients(self) -> int:
        """With fewer there is no interval."""
        return MIN_PATIENTS_UNBOUNDED if self.lowest is None or self.highest is None else MIN_PATIENTS

    def ends(self, smallest: float, largest: float) -> tuple[float, float]:
        """Returns what the added patient scores at the low and at the high end, beside cases of these values."""
        # From 0 on, not from the smallest value: a value that gets worse must not bring the end nearer.
        low = smallest if self.lowest is None else self.lowest
        below = smallest - (largest - smallest) if self.lowest is None else self.lowest
        return below, largest + (largest - low) if self.highest is None else self.highest


SHARE = Bounds(0.0, 1.0)
SIZE = Bounds(0.0, None)

BOUNDS = {
    **dict.fromkeys(("dice", "iou", "sensitivity", "precision", "nsd", "nsd_surface"), SHARE),
    "volume_error_ml": Bounds(None, None),
    "volume_error_relative": Bounds(-1.0, None),
}
"""Metric to its bounds; lengths, volumes and counts, which are not in it, have `SIZE`."""


def bounds_of(metric: str) -> Bounds:
    """Returns the values that a metric can have."""
    return BOUNDS.get(metric, SIZE)


def bootstrap_of(clustered_by: Literal["patient", "case"], n_clusters: int) -> Bootstrap:
    """Returns how the intervals of these patients, or cases, are made."""
    return Bootstrap(clustered_by, n_clusters, n_resamples=N_RESAMPLES, seed=SEED, method="bayesian")


@dataclass(frozen=True)
class WeightedMeans:
    """Means of K columns under `n_resamples` drawn weights, before a patient is added.

    Attributes:
        sums: `(K, n_resamples)`, of weight times score.
        counts: `(K, n_resamples)`, of the weights of the defined scores.
        chances: `(n_resamples,)`, from 0 to 1, from which the added patient's weight comes.
        n_patients: `(K,)`, those that have a defined value.
        n_cases_added: `(K,)`, those of the patient who is added: as many as the patient of an average case has.
        smallest: `(K,)`, of the values; infinite where none is defined.
        largest: `(K,)`, likewise.
    """

    sums: Array
    counts: Array
    chances: Array
    n_patients: NDArray[np.int64]
    n_cases_added: Array
    smallest: Array
    largest: Array

    def interval(self, column: int, bounds: Bounds) -> Interval | None:
        """Returns the 95 % confidence interval of a column's mean; None of too few patients."""
        n = int(self.n_patients[column])
        return None if n < bounds.min_patients else self._interval([column], bounds, n)

    def interval_over_columns(self, bounds: Bounds) -> Interval | None:
        """Returns that of the mean of the columns' means; None where one that has a value at all has too few patients.

        Columns without a value are left out of the mean.
        """
        columns = [int(column) for column in np.flatnonzero(self.n_patients)]
        fewest = int(self.n_patients[columns].min()) if columns else 0
        return None if fewest < bounds.min_patients else self._interval(columns, bounds, fewest)

    def _interval(self, columns: Sequence[int], bounds: Bounds, n: int) -> Interval:
        added = self.n_cases_added[columns][:, None] * self._added_weights(n)
        ends = np.array([bounds.ends(self.smallest[one], self.largest[one]) for one in columns])
        sums, counts = self.sums[columns], self.counts[columns] + added
        tail = (1 - CONFIDENCE) / 2
        low = np.quantile(((sums + added * ends[:, :1]) / counts).mean(axis=0), tail)
        high = np.quantile(((sums + added * ends[:, 1:]) / counts).mean(axis=0), 1 - tail)
        # Last digits depend on the machine's arithmetic; they say nothing in a drawn number.
        return Interval(round(float(low), 9), round(float(high), 9))

    def _added_weights(self, n_patients: int) -> Array:
        if n_patients not in self._weights_by_number:
            from scipy.special import gammaincinv

            shape = min(1.0, FULL_WEIGHT_PATIENTS / n_patients)
            self._weights_by_number[n_patients] = gammaincinv(shape, self.chances)
        return self._weights_by_number[n_patients]

    @cached_property
    def _weights_by_number(self) -> dict[int, Array]:
        return {}


class PatientWeights:
    """Weights of patients, drawn many times: the same for all that is asked of them.

    A patient's weights come from its name, so that they stay the same where another patient is added: with that, what
    the module says of one more failed case holds in each draw.

    Args:
        patients: The patient of each case.
        n_resamples: Times to draw. The same number and patients give the same weights.
    """

    def __init__(self, patients: Sequence[str], *, n_resamples: int = N_RESAMPLES) -> None:
        names, self._patient_of_case = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        self._names: list[str] = names.tolist()
        self._n_resamples = n_resamples

    @property
    def n_patients(self) -> int:
        """How many there are."""
        return len(self._names)

    def means(self, values: Array) -> WeightedMeans:
        """Returns the means of the columns over the cases.

        Memory: 16 bytes a resample and column.

        Args:
            values: `(n_cases, K)`, NaN where undefined.
        """
        is_defined = ~np.isnan(values)
        sums, counts = self._by_patient(np.where(is_defined, values, 0.0)), self._by_patient(is_defined.astype(float))
        # Metrics of one label are mostly defined in the same cases.
        kinds, kind_of_column = np.unique(counts, axis=1, return_inverse=True)
        both = np.concatenate([sums, kinds], axis=1)
        weighted = np.zeros((both.shape[1], self._n_resamples))
        for start in range(0, self.n_patients, _PATIENTS_AT_ONCE):
            some = slice(start, start + _PATIENTS_AT_ONCE)
            weighted += both[some].T @ np.stack([self._weights(name) for name in self._names[some]])
        n_patients = np.count_nonzero(counts, axis=0)
        n_columns = values.shape[1]
        return WeightedMeans(
            sums=weighted[:n_columns],
            counts=weighted[n_columns:][kind_of_column.ravel()],
            chances=self._stream("").random(self._n_resamples),
            n_patients=n_patients,
            n_cases_added=_divided((counts**2).sum(axis=0), counts.sum(axis=0)),
            smallest=np.where(is_defined, values, np.inf).min(axis=0),
            largest=np.where(is_defined, values, -np.inf).max(axis=0),
        )

    def _by_patient(self, values: Array) -> Array:
        sums = np.zeros((self.n_patients, values.shape[1]))
        np.add.at(sums, self._patient_of_case, values)
        return sums

    def _weights(self, name: str) -> Array:
        return self._stream(f"patient {name}").standard_exponential(self._n_resamples)

    def _stream(self, name: str) -> np.random.Generator:
        digest = blake2b(name.encode(errors="surrogatepass"), digest_size=16).digest()
        return np.random.Generator(np.random.SFC64([SEED, *np.frombuffer(digest, np.uint32).tolist()]))


def _divided(sums: Array, counts: Array) -> Array:
    return np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
