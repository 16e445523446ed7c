"""Shown means over random halves of the patients, which say how far a result hangs on who is among them.

A half holds each patient, with all its cases and labels, with probability 1/2. A mean over a half is taken as the shown
mean is over all: undefined scores left out, the foreground as the mean of the label means.

Where no model is better, the difference of two means has either sign in a half. If both means have the same
denominators, in exactly so many halves as there are ways to swap the two models within patients that make the
difference as large as it is (Hartigan 1969, Journal of the American Statistical Association 64, 1303-1317): the test
is exact. Swapping itself is not used, since denominators that differ are swapped along: a failure of one model then
weighs less or more in the swapped means than in its own, and could improve its p value.

Every half's mean is monotone in each score (`scoring`: no failure improves a mean), whoever else is compared. So is all
that is read off the halves at places that do not depend on the scores: shares, order statistics, ranks.

Up to 15 patients all halves are taken, beyond that 32,768 of them. The empty one is among them, as the models unswapped
are among the swaps: it speaks for neither side.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

N_HALVES = 1 << 15
SEED = 20150815

_HALVES_AT_ONCE = 1024


@dataclass(frozen=True)
class HalfMeans:
    """Means of K columns of scores; NaN where nothing is defined.

    Attributes:
        shown: `(K,)`, over all cases.
        by_half: `(K, n_halves)`, over the cases of each half's patients; the first half is empty.
        by_patient: `(K, n_patients)`, over the cases of each.
    """

    shown: Array
    by_half: Array
    by_patient: Array

    def columns(self, some: slice) -> "HalfMeans":
        """Returns some of the columns."""
        return HalfMeans(self.shown[some], self.by_half[some], self.by_patient[some])


class Halves:
    """The halves of some patients: the same for all that is asked of them.

    Args:
        patients: The patient of each case.
        n_halves: At most so many. The same number and patients give the same halves.
    """

    def __init__(self, patients: Sequence[str], *, n_halves: int = N_HALVES) -> None:
        names, self._patient_of_case = np.unique(np.asarray(patients, dtype=np.str_), return_inverse=True)
        self.n_patients = len(names)
        self.has_all = 1 << self.n_patients <= n_halves
        # Packed: 10,000 patients in 32,768 halves are 41 MB.
        if self.has_all:
            halves = np.arange(1 << self.n_patients)[:, None] >> np.arange(self.n_patients) & 1
            self._packed = np.packbits(halves.astype(np.uint8), axis=1)
        else:
            random = np.random.default_rng(SEED)
            self._packed = random.integers(256, size=(n_halves, (self.n_patients + 7) // 8), dtype=np.uint8)
            self._packed[0] = 0

    def __len__(self) -> int:
        return len(self._packed)

    def means(self, scores: Array) -> HalfMeans:
        """Returns the means of the columns over the cases.

        Args:
            scores: `(n_cases, K)`, NaN where undefined.
        """
        is_defined = ~np.isnan(scores)
        sums, counts = self._by_patient(np.where(is_defined, scores, 0.0)), self._by_patient(is_defined.astype(float))
        # Most models are defined in the same cases.
        different, column_of = np.unique(counts, axis=1, return_inverse=True)
        by_half = np.empty((scores.shape[1], len(self)))
        for start, half in self._blocks():
            by_half[:, start : start + len(half)] = _divided(half @ sums, (half @ different)[:, column_of]).T
        return HalfMeans(
            shown=_divided(sums.sum(axis=0), counts.sum(axis=0)),
            by_half=by_half,
            by_patient=_divided(sums, counts).T,
        )

    def _by_patient(self, values: Array) -> Array:
        sums = np.zeros((self.n_patients, values.shape[1]))
        np.add.at(sums, self._patient_of_case, values)
        return sums

    def _blocks(self) -> Iterator[tuple[int, Array]]:
        for start in range(0, len(self._packed), _HALVES_AT_ONCE):
            block = self._packed[start : start + _HALVES_AT_ONCE]
            yield start, np.unpackbits(block, axis=1, count=self.n_patients).astype(float)


class LabelMeans:
    """The mean of label means, label by label, so that those of one label at a time are in memory."""

    def __init__(self) -> None:
        self._sums: list[Array] = []
        self._counts: list[Array] = []

    def add(self, means: HalfMeans) -> None:
        """Counts a label in, where it is defined."""
        arrays = (means.shown, means.by_half, means.by_patient)
        if not self._sums:
            self._sums = [np.zeros_like(array) for array in arrays]
            self._counts = [np.zeros_like(array) for array in arrays]
        for number, array in enumerate(arrays):
            is_defined = ~np.isnan(array)
            self._sums[number] += np.where(is_defined, array, 0.0)
            self._counts[number] += is_defined

    def mean(self) -> HalfMeans:
        """Returns the means over the labels, one at least."""
        return HalfMeans(*(_divided(sums, counts) for sums, counts in zip(self._sums, self._counts, strict=True)))


def _divided(sums: Array, counts: Array) -> Array:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
