"""The correction of p values for their number, and the noise between seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.statistics.estimate import CONFIDENCE


def bonferroni(p: float | None, n_tests: int) -> float | None:
    """Returns a p value corrected for the number of tests; None: there is none.

    Args:
        p: Of one of them.
        n_tests: All that are made, with a p value or without: a number that no score changes.
    """
    return None if p is None else min(1.0, n_tests * p)


@dataclass(frozen=True)
class SeedNoise:
    """How far apart two trainings are that differ in their seed alone, in the set of repeats of the widest floor.

    Attributes:
        sd: Standard deviation between its repeats.
        degrees_of_freedom: Its repeats minus 1.
        floor: Of the differences between two repeats 95 % or more are smaller, in every set: t * sqrt(2) * sd, with
            Student's t for the degrees of freedom, since a spread of few repeats is itself uncertain.
    """

    sd: float
    degrees_of_freedom: int
    floor: float


def seed_noise(sets_of_repeats: Sequence[Sequence[float]]) -> SeedNoise | None:
    """Returns the noise between repeats; None where no set has two.

    Sets are not pooled: the spread of one experiment's seeds says nothing about another's. Where one set scattered
    three times as much as another, a pooled floor held for 84 % of its differences.

    Args:
        sets_of_repeats: The results of each set; those of one set differ in the seed alone.
    """
    found = [_noise(np.asarray(repeats, dtype=float)) for repeats in sets_of_repeats if len(repeats) > 1]
    return max(found, key=lambda noise: noise.floor, default=None)


def _noise(repeats: NDArray[np.float64]) -> SeedNoise:
    from scipy.special import stdtrit

    degrees, sd = len(repeats) - 1, float(repeats.std(ddof=1))
    t = float(-stdtrit(degrees, (1 - CONFIDENCE) / 2))
    return SeedNoise(sd=sd, degrees_of_freedom=degrees, floor=t * math.sqrt(2) * sd)
