"""All that may be chosen: models, ensembles of them, and each of these with the postprocessing steps that it earns.

Which steps these are is decided anew on whatever patients a choice is made on, so that it is part of the choice, and
never made on a fold that the choice is then scored on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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

    def decided(self, weights: Array) -> Iterator[tuple[Indices, Units]]:
        """Yields weightings under which the same steps are taken, and all candidates with these steps."""
        if not self.postprocessed:
            yield np.arange(len(weights)), self.models
            return
        different, of_which = np.unique(self.taken(weights), axis=0, return_inverse=True)
        for number, taken in enumerate(different):
            yield np.flatnonzero(of_which.reshape(-1) == number), self._with(tuple(taken.tolist()))

    def _with(self, taken: tuple[int, ...]) -> Units:
        known = self._known
        if taken not in known:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            after = [scores.after(one) for (_, scores), one in zip(self.postprocessed, taken, strict=True)]
            known[taken] = replace(
                self.models,
                sums=np.concatenate([self.models.sums, *(sums[None] for sums, _ in after)]),
                counts=np.concatenate([self.models.counts, *(counts[None] for _, counts in after)]),
                simplicity=self.simplicity,
            )
        return known[taken]

    @cached_property
    def _known(self) -> dict[tuple[int, ...], Units]:
        return {}


_MOST_KNOWN = 64
"""Of 20 candidates, 500 cases and 3 labels these are 30 MB."""
