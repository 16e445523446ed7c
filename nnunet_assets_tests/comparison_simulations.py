"""Simulated comparisons of two models of which one also fails, with fixed seeds; `benchmarks` draws more of them.

Each patient has one case with an organ, and 60 % of them a lesion. A case is as hard for both models, and each scatters
about that on its own. Each misses a part of the lesions, whatever the case, and draws one into a part of the cases that
have none; `level` scales what it scores on the lesions that it finds.
"""

from dataclasses import dataclass

import numpy as np

from nnunet_assets.core.statistics.halves import Halves, LabelMeans
from nnunet_assets.core.statistics.paired import paired_differences
from nnunet_assets.core.statistics.scoring import scale_of

PART_WITH_LESION = 0.6
MEAN_ORGAN, MEAN_LESION = 18 / 20, 6 / 8.5
LEVEL = 0.05
N_HALVES = 1 << 13
COHORTS_AT_ONCE = 250


@dataclass(frozen=True)
class Model:
    """How a model fails.

    Attributes:
        missed: Part of the lesions.
        hallucinated: Part of the cases without one.
        level: Its scores on lesions that it finds, as part of `MEAN_LESION`.
    """

    missed: float
    hallucinated: float
    level: float = 1.0

    @property
    def mean_lesion(self) -> float:
        """The mean that a cohort without end shows."""
        n_defined = PART_WITH_LESION + (1 - PART_WITH_LESION) * self.hallucinated
        return PART_WITH_LESION * (1 - self.missed) * MEAN_LESION * self.level / n_defined

    def as_good_as(self, other: "Model") -> "Model":
        """Returns the model with a level that makes its shown means those of the other one, however it fails."""
        return Model(self.missed, self.hallucinated, self.level * other.mean_lesion / self.mean_lesion)


def cohort(rng: np.random.Generator, n: int, models: tuple[Model, Model]) -> np.ndarray:
    """Returns the scores `(2, n, 2)` of organ and lesion, NaN where undefined."""
    has_lesion = rng.random(n) < PART_WITH_LESION
    organ, lesion = np.clip(rng.beta(18, 2, n), 0.01, 0.99), np.clip(rng.beta(6, 2.5, n), 0.02, 0.98)
    scores = np.empty((2, n, 2))
    for one, model in enumerate(models):
        own = np.clip(lesion * model.level, 0.01, 0.99)
        found = np.where(rng.random(n) < model.missed, 0.0, rng.beta(30 * own, 30 * (1 - own)))
        false = np.where(rng.random(n) < model.hallucinated, 0.0, np.nan)
        scores[one] = np.column_stack([rng.beta(60 * organ, 60 * (1 - organ)), np.where(has_lesion, found, false)])
    return scores


@dataclass(frozen=True)
class Rates:
    """In which part of the cohorts the uncorrected test finds a difference at 0.05, or the interval holds the truth."""

    lesion: float
    foreground: float
    coverage: float


def rates(
    models: tuple[Model, Model], *, n_patients: int, n_cohorts: int, seed: int, n_halves: int = N_HALVES
) -> Rates:
    """Returns what the test of the difference finds; `coverage` is that of the foreground's interval."""
    rng = np.random.default_rng(seed)
    halves = Halves([f"p{k:04}" for k in range(n_patients)], n_halves=n_halves)
    truth = (models[0].mean_lesion - models[1].mean_lesion) / 2
    n_lesion = n_foreground = n_holding = 0
    for start in range(0, n_cohorts, COHORTS_AT_ONCE):
        n = min(COHORTS_AT_ONCE, n_cohorts - start)
        # (n_patients, n_cohorts * 2, n_labels): the halves are the same for all cohorts.
        scores = np.concatenate([cohort(rng, n_patients, models).transpose(1, 0, 2) for _ in range(n)], axis=1)
        lesion, foreground = halves.means(scores[:, :, 1]), LabelMeans()
        foreground.add(halves.means(scores[:, :, 0]))
        foreground.add(lesion)
        pairs = [(2 * one, 2 * one + 1) for one in range(n)]
        n_lesion += sum(is_found(one.p) for one in paired_differences(lesion, pairs, scale_of("dice")))
        for one in paired_differences(foreground.mean(), pairs, scale_of("dice")):
            n_foreground += is_found(one.p)
            n_holding += one.interval is not None and one.interval.low <= truth <= one.interval.high
    return Rates(n_lesion / n_cohorts, n_foreground / n_cohorts, n_holding / n_cohorts)


def is_found(p: float | None) -> bool:
    """Tells whether the test finds a difference."""
    return p is not None and p < LEVEL
