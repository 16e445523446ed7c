"""Simulated cohorts of known truth, with fixed seeds; `benchmarks` draws more of them."""

from collections.abc import Callable

import numpy as np

from nnunet_assets.core.resampling import Resamples

Drawn = tuple[list[str], np.ndarray, float]
"""Patient of each case, score of each case, and the mean of the population."""


def skewed(rng: np.random.Generator, n: int) -> Drawn:
    """Dice of an easy organ: mean 0.89, a tail below, one case a patient."""
    return names(n), rng.beta(8, 1, n), 8 / 9


def moderate(rng: np.random.Generator, n: int) -> Drawn:
    """Dice with a mean of 0.86 and little skew."""
    return names(n), rng.beta(12, 2, n), 12 / 14


def missed(rng: np.random.Generator, n: int) -> Drawn:
    """Dice of a lesion: wide, and 0 in 15 % of the cases."""
    dice = np.where(rng.random(n) < 0.15, 0.0, rng.beta(2, 1.2, n))
    return names(n), dice, 0.85 * 2 / 3.2


def failing(rng: np.random.Generator, n: int) -> Drawn:
    """Dice of 0.91, and 0 in one case of ten."""
    dice = np.where(rng.random(n) < 0.10, 0.0, rng.beta(20, 2, n))
    return names(n), dice, 0.9 * 20 / 22


def clustered(rng: np.random.Generator, n: int) -> Drawn:
    """One to five cases a patient that are alike: the patient's own mean is skewed, its cases scatter about it."""
    n_cases = rng.integers(1, 6, n)
    own = np.repeat(np.clip(rng.beta(8, 1.5, n), 1e-6, 1 - 1e-6), n_cases)
    return list(np.repeat(names(n), n_cases)), rng.beta(15 * own, 15 * (1 - own)), 8 / 9.5


COHORTS: dict[str, Callable[[np.random.Generator, int], Drawn]] = {
    draw.__name__: draw for draw in (moderate, skewed, missed, failing, clustered)
}


def names(n: int) -> list[str]:
    """Returns n patients."""
    return [f"p{k:04}" for k in range(n)]


def coverage(name: str, *, n_patients: int, n_cohorts: int, n_resamples: int, seed: int) -> float:
    """Returns in which part of the cohorts the interval of the mean holds the mean of the population."""
    rng = np.random.default_rng(seed)
    draws: dict[tuple[str, ...], Resamples] = {}
    hits = 0
    for _ in range(n_cohorts):
        patients, scores, truth = COHORTS[name](rng, n_patients)
        # The draws depend on the patients alone: those of one case each are drawn once.
        key = tuple(patients)
        if key not in draws:
            draws = {key: Resamples(patients, n_resamples=n_resamples)}
        interval = draws[key].means(scores[:, None]).interval()
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    return hits / n_cohorts
