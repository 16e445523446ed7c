"""All that may be chosen: models, ensembles of them, and each of these with the postprocessing steps that it earns.

Which steps these are is decided anew on whatever patients a choice is made on, so that it is part of the choice, and
never made on a fold that the choice is then scored on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnunet_assets.core.selection.choice import Array, Indices, Units
from nnunet_assets.core.selection.postprocessing import PostprocessedScores


@dataclass(frozen=True)
class Candidates:
    """Models as they are, then those that have postprocessing with what steps it takes.

    Attributes:
        models: The M models as they are; their simplicity is that of all candidates.
        is_ensemble: `(M,)`, whether a model is several trainings together.
        postprocessed: The models that have postprocessing, by their place.
        simplicity: `(M + n,)`, of the models and then of the n with steps.
    """

    models: Units
    is_ensemble: tuple[bool, ...]
    postprocessed: tuple[tuple[int, PostprocessedScores], ...]
    simplicity: Array

    @classmethod
    def of(
        cls,
        models: Units,
        sizes: Sequence[float],
        is_ensemble: Sequence[bool],
        postprocessed: Sequence[tuple[int, PostprocessedScores]] = (),
    ) -> "Candidates":
        """Returns the candidates, ordered by how simple they are.

        A single model is simpler than an ensemble, one without steps than one with, and of two alike that with fewer
        parameters.

        Args:
            models: The models as they are.
            sizes: Of their weights, infinite where it is not known.
            is_ensemble: Which are several trainings together.
            postprocessed: Those that have postprocessing, by their place.
        """
        keys = [(is_ensemble[k], False, size) for k, size in enumerate(sizes)]
        keys += [(is_ensemble[k], True, sizes[k]) for k, _ in postprocessed]
        ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
        simplicity = np.array([ranks[key] for key in keys], dtype=float)
        models = replace(models, simplicity=simplicity[: len(sizes)])
        return cls(models, tuple(is_ensemble), tuple(postprocessed), simplicity)

    @classmethod
    def plain(cls, models: Units) -> "Candidates":
        """Returns single models without postprocessing, of which each is as simple as it says."""
        return cls(models, (False,) * len(models.sums), (), models.simplicity)

    @property
    def fold(self) -> Indices:
        """`(n_units,)`, from 0."""
        return self.models.fold

    @property
    def patient(self) -> Indices:
        """`(n_units,)`, from 0."""
        return self.models.patient

    @property
    def n_folds(self) -> int:
        """How many folds there are."""
        return self.models.n_folds

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return self.models.n_patients

    @property
    def model_of(self) -> Indices:
        """The model of each candidate, by its place: with steps and without it shares the luck of its trainings."""
        return np.array([*range(len(self.is_ensemble)), *(k for k, _ in self.postprocessed)], dtype=np.intp)

    @property
    def trainings(self) -> Units:
        """The models that are one training each, by whose differences its luck is known."""
        single = np.flatnonzero(~np.array(self.is_ensemble))
        return self.models.some(single) if single.size else self.models

    def taken(self, weights: Array) -> Indices:
        """Returns what each of the models with postprocessing takes, `(n_weightings, n)`, as its `taken` has it."""
        return np.stack([scores.taken(weights) for _, scores in self.postprocessed], axis=1)

    def with_steps(self, weights: Array) -> Units:
        """Returns all candidates with the steps that are taken under one weighting, `(1, n_units)`."""
        if not self.postprocessed:
            return self.models
        taken = self.taken(weights)[0].tolist()
        after = [scores.after(one) for (_, scores), one in zip(self.postprocessed, taken, strict=True)]
        return self._with(after, self.simplicity)

    def chosen(self, weights: Array) -> "Chosen":
        """Returns what the rule takes under each weighting, with the steps that are taken under it.

        Every combination of steps that a model takes under any of them is one row beside the models, which counts
        under those weightings alone. A model without a step is its own row: with none it is not simpler.
        """
        n = len(self.is_ensemble)
        if not self.postprocessed:
            rows = self.models.chosen(weights)
            return Chosen(rows, rows, self.models)
        taken = self.taken(weights)
        variants = [(j, int(code)) for j in range(taken.shape[1]) for code in np.unique(taken[:, j]) if code]
        after = [self.postprocessed[j][1].after(code) for j, code in variants]
        places = np.array([*range(n), *(n + j for j, _ in variants)], dtype=np.intp)
        units = self._with(after, self.simplicity[places])
        allowed = np.ones((len(weights), len(places)), dtype=bool)
        for row, (j, code) in enumerate(variants, n):
            allowed[:, row] = taken[:, j] == code
        rows = units.chosen(weights, allowed)
        return Chosen(places[rows], rows, units)

    def _with(self, after: Sequence[tuple[Array, Array]], simplicity: Array) -> Units:
        return replace(
            self.models,
            sums=np.concatenate([self.models.sums, *(sums[None] for sums, _ in after)]),
            counts=np.concatenate([self.models.counts, *(counts[None] for _, counts in after)]),
            simplicity=simplicity,
        )


@dataclass(frozen=True)
class Chosen:
    """What is taken under each weighting.

    Attributes:
        places: `(n_weightings,)`, of the candidates.
        rows: `(n_weightings,)`, of the units that these are with their steps.
        units: Of everything that is taken anywhere.
    """

    places: Indices
    rows: Indices
    units: Units

    def label_sums(self, weights: Array) -> tuple[Array, Array]:
        """Returns the weighted sums and counts of what is taken, both `(n_weightings, n_labels)`.

        Args:
            weights: One for each weighting that was chosen under: of what the choice is scored on.
        """
        sums, counts = (np.zeros((len(weights), self.units.sums.shape[2])) for _ in range(2))
        for row in np.unique(self.rows):
            of_row = self.rows == row
            for total, one in ((sums, self.units.sums), (counts, self.units.counts)):
                total[of_row] = weights[of_row] @ one[row]
        return sums, counts
