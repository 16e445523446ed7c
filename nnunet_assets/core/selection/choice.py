"""The rule by which one candidate is taken, for many weightings of the patients at once.

The best foreground mean is not distinguishable from the next ones where their paired difference is smaller than its own
error allows; then the simplest of these is taken. The difference is that of the means shown, nnU-Net's: of label means,
undefined scores left out. Its error is that of its linearization: each patient adds what its cases move the two means
by, labels that are defined in one of the two only among them, so that no case drops out. The 95 % interval is
Student's, over the patients. A mean that is undefined, since its candidate drew nothing where there was nothing, counts
as a perfect one.

Estimates that repeat the choice need it thousands of times, which is why the rule has an interval that can be written
down, where the comparison takes one from random halves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.statistics.estimate import CONFIDENCE, SAME_SCORE

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_NUMBERS_AT_ONCE = 4_000_000
"""In the largest array of a block of weightings: 32 MB."""


@dataclass(frozen=True)
class Units:
    """The scores of M candidates, summed over the cases of one patient in one fold: what is drawn and weighted.

    Attributes:
        sums: `(M, n_units, n_labels)`, of the defined scores; the higher the better.
        counts: `(M, n_units, n_labels)`, how many these are.
        fold: `(n_units,)`, from 0.
        patient: `(n_units,)`, from 0; cases of one patient in two folds are two units.
        simplicity: `(M,)`, the lower the simpler; of equal ones the first candidate is.
    """

    sums: Array
    counts: Array
    fold: Indices
    patient: Indices
    simplicity: Array

    @classmethod
    def of(cls, scores: Array, folds: Sequence[str], patients: Sequence[str], simplicity: Sequence[float]) -> "Units":
        """Returns the units of some cases.

        Args:
            scores: `(M, n_cases, n_labels)`, NaN where undefined.
            folds: Which fold validated each case.
            patients: The patient of each case.
            simplicity: Of each candidate.
        """
        pairs, unit = units_of_cases(folds, patients)
        is_defined = ~np.isnan(scores)
        # Cases first, which are what is added up.
        sums, counts = (np.zeros((pairs.shape[1], len(scores), scores.shape[2])) for _ in range(2))
        np.add.at(sums, unit, np.where(is_defined, scores, 0.0).transpose(1, 0, 2))
        np.add.at(counts, unit, is_defined.astype(float).transpose(1, 0, 2))
        sums, counts = sums.transpose(1, 0, 2), counts.transpose(1, 0, 2)
        fold, patient = (np.unique(names, return_inverse=True)[1].ravel() for names in pairs)
        return cls(sums, counts, fold, patient, np.asarray(simplicity, dtype=float))

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return int(self.fold.max()) + 1

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return int(self.patient.max()) + 1

    def some(self, candidates: Indices) -> "Units":
        """Returns the units of some of the candidates."""
        return replace(
            self,
            sums=self.sums[candidates],
            counts=self.counts[candidates],
            simplicity=self.simplicity[candidates],
        )

    def label_sums(self, weights: Array) -> tuple[Array, Array]:
        """Returns the weighted sums and counts, both `(n_weightings, M, n_labels)`."""
        sums, counts = (np.einsum("du,mul->dml", weights, one, optimize=True) for one in (self.sums, self.counts))
        return sums, counts

    def chosen(self, weights: Array, allowed: NDArray[np.bool_] | None = None) -> Indices:
        """Returns the candidate that the rule takes under each weighting, `(n_weightings,)`.

        Args:
            weights: `(n_weightings, n_units)`, how often each unit is there.
            allowed: `(n_weightings, M)`, which candidates there are under each weighting; None: all.
        """
        n_at_once = max(1, _NUMBERS_AT_ONCE // (self.sums.shape[0] * self.sums.shape[1]))
        blocks = (slice(start, start + n_at_once) for start in range(0, len(weights), n_at_once))
        return np.concatenate(
            [self._chosen(weights[block], None if allowed is None else allowed[block]) for block in blocks]
        )

    def _chosen(self, weights: Array, allowed: NDArray[np.bool_] | None) -> Indices:
        verdict = self.differences(weights, allowed)
        is_equal = ~verdict.is_distinguished if allowed is None else ~verdict.is_distinguished & allowed
        simplest = np.where(is_equal, self.simplicity, np.inf).min(axis=1, keepdims=True)
        # Of equally simple ones that with the better mean, then the first.
        gaps = np.where(is_equal & (self.simplicity <= simplest), np.round(verdict.behind, 12), np.inf)
        found: Indices = gaps.argmin(axis=1)
        return found

    def pseudo_scores(self) -> Array:
        """Returns what each unit adds to the foreground means, `(M, n_units)`, as large as a score, 0 on average."""
        (moved,) = self._moved(*self.label_sums(np.ones((1, len(self.fold)))))
        found: Array = moved * len(self.fold)
        return found

    def _moved(self, sums: Array, counts: Array) -> Array:
        """Returns what each unit moves the foreground means by, `(n_weightings, M, n_units)`, to first order."""
        there = np.maximum(counts, 1)
        n_labels = np.maximum((counts > 0).sum(axis=2, keepdims=True), 1)
        share = 1 / (there * n_labels)  # of a case in the mean
        moved: Array = np.einsum("dml,mul->dmu", share, self.sums, optimize=True)
        moved -= np.einsum("dml,mul->dmu", share * sums / there, self.counts, optimize=True)
        return moved

    def differences(self, weights: Array, allowed: NDArray[np.bool_] | None = None) -> "Differences":
        """Returns how far each candidate is behind the best one that is allowed, and by how much it may be."""
        sums, counts = self.label_sums(weights)
        means = foreground(sums, counts)
        filled = np.where(np.isnan(means), 1.0, means)
        rounded = np.round(filled, 12)
        best = (rounded if allowed is None else np.where(allowed, rounded, -np.inf)).argmax(axis=1)
        behind = np.take_along_axis(filled, best[:, None], axis=1) - filled
        moved = self._moved(sums, counts)
        moved -= np.take_along_axis(moved, best[:, None, None], axis=1)
        n = weights.sum(axis=1)
        variances = np.einsum("du,dmu->dm", weights, moved**2)
        errors = np.sqrt(variances * (n / np.maximum(n - 1, 1))[:, None])
        reach = np.where(n[:, None] > 1, errors * student(n)[:, None], np.inf)
        return Differences(best, means, behind, reach)


@dataclass(frozen=True)
class Differences:
    """How far the candidates are behind the best one, under each weighting.

    Attributes:
        best: `(n_weightings,)`, the candidate with the best mean; of equal ones the first.
        means: `(n_weightings, M)`, NaN where undefined.
        behind: `(n_weightings, M)`, from 0.
        reach: `(n_weightings, M)`, half the width of its 95 % interval; infinite of one patient.
    """

    best: Indices
    means: Array
    behind: Array
    reach: Array

    @cached_property
    def is_distinguished(self) -> NDArray[np.bool_]:
        """Whether the interval lies beyond 0, `(n_weightings, M)`."""
        return self.behind > self.reach + SAME_SCORE


def units_of_cases(folds: Sequence[str], patients: Sequence[str]) -> tuple[NDArray[np.str_], Indices]:
    """Returns fold and patient of each unit, `(2, n_units)`, and which unit each case belongs to."""
    pairs, unit = np.unique(np.array([folds, patients], dtype=np.str_), axis=1, return_inverse=True)
    return pairs, unit.ravel()


def foreground(sums: Array, counts: Array) -> Array:
    """Returns the mean of the label means, over the last axis; NaN where no label is defined."""
    means = sums / np.maximum(counts, 1)
    with np.errstate(invalid="ignore"):
        found: Array = means.sum(axis=-1) / (counts > 0).sum(axis=-1)
    return found


def student(n: Array) -> Array:
    """Returns how many standard errors of n patients, two or more, a 95 % interval reaches to each side."""
    from scipy.special import stdtrit

    degrees, places = np.unique(np.maximum(n - 1, 1), return_inverse=True)
    found: Array = stdtrit(degrees, 0.5 + CONFIDENCE / 2)[places.ravel()]
    return found
