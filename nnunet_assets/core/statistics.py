"""Tests of paired differences, their correction and effect size, and the noise between seeds.

The test is Wilcoxon's signed-rank test, two-sided. Differences are rounded to 1e-12, since the arithmetic is no more
exact. Those of 0 are left out, as Wilcoxon did: they speak for neither side, and n counts what is left. Equal sizes
share the mean of their ranks. The p value is exact up to 50 differences, with equal sizes too; beyond that it is the
normal approximation with the variance corrected for ties (`scipy.stats.wilcoxon`, which is exact without equal sizes
only, or by permutations that take 0.1 s a test).

Fewer than 6 differences give no p value: with 5 the smallest possible one is 2 / 2^5 = 0.0625.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.estimate import CONFIDENCE, SAME_SCORE

MIN_DIFFERENCES = 6
MAX_EXACT = 50


@dataclass(frozen=True)
class SignedRankTest:
    """A Wilcoxon signed-rank test.

    Attributes:
        n: Differences that are not 0.
        p: Two-sided, not corrected; None with fewer than 6 differences.
        rank_biserial: (W+ - W-) / (W+ + W-), from -1 (all differences negative) to 1; None: there is no difference.
    """

    n: int
    p: float | None
    rank_biserial: float | None


def signed_rank_test(differences: NDArray[np.float64]) -> SignedRankTest:
    """Returns the test of differences `(n,)` that are independent of each other; NaN is left out."""
    from scipy.stats import rankdata

    steps = np.round(differences[~np.isnan(differences)] / SAME_SCORE)
    signed = steps[steps != 0]
    if not len(signed):
        return SignedRankTest(n=0, p=None, rank_biserial=None)
    ranks = rankdata(np.abs(signed))
    rank_biserial = float((ranks * np.sign(signed)).sum() / ranks.sum())
    p = _p_value(signed, ranks) if len(signed) >= MIN_DIFFERENCES else None
    return SignedRankTest(n=len(signed), p=p, rank_biserial=rank_biserial)


def _p_value(signed: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    if len(signed) > MAX_EXACT:
        return float(wilcoxon(signed, method="asymptotic").pvalue)
    # Twice the ranks are whole numbers. ways[w]: how many of the 2^n signs give w as twice the sum of positive ranks.
    doubled = np.rint(2 * ranks).astype(int)
    ways = np.zeros(doubled.sum() + 1)
    ways[0] = 1
    for rank in doubled:
        ways[rank:] = ways[rank:] + ways[:-rank]
    positive = doubled[signed > 0].sum()
    return float(min(1.0, 2 * min(ways[: positive + 1].sum(), ways[positive:].sum()) / ways.sum()))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Returns the p values corrected by Holm for their number; None is not counted and stays None."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for done, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - done) * p))
        corrected[index] = largest
    return corrected


@dataclass(frozen=True)
class SeedNoise:
    """How far apart two trainings are that differ in their seed alone.

    Attributes:
        sd: Standard deviation between repeats, pooled over the sets of repeats.
        degrees_of_freedom: Repeats minus sets.
        floor: Of the differences between two repeats 95 % are smaller: t * sqrt(2) * sd, with Student's t for the
            degrees of freedom, since a spread of few repeats is itself uncertain.
    """

    sd: float
    degrees_of_freedom: int
    floor: float


def seed_noise(sets_of_repeats: Sequence[Sequence[float]]) -> SeedNoise | None:
    """Returns the noise between repeats; None where no set has two.

    Args:
        sets_of_repeats: The results of each set; those of one set differ in the seed alone.
    """
    from scipy.special import stdtrit

    sets = [np.asarray(repeats, dtype=float) for repeats in sets_of_repeats if len(repeats) > 1]
    if not sets:
        return None
    degrees = sum(len(repeats) - 1 for repeats in sets)
    sd = math.sqrt(sum(float(((repeats - repeats.mean()) ** 2).sum()) for repeats in sets) / degrees)
    t = float(-stdtrit(degrees, (1 - CONFIDENCE) / 2))
    return SeedNoise(sd=sd, degrees_of_freedom=degrees, floor=t * math.sqrt(2) * sd)
