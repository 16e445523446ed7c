"""The ranks of shown means, and those that other patients would have given them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.statistics.estimate import CONFIDENCE
from nnunet_assets.core.statistics.halves import SEED, HalfMeans
from nnunet_assets.core.statistics.scoring import Scale

_N_HALVES = 2048
"""Of 1,000 experiments all 32,768 halves would fill the memory; a rank needs fewer than a p value."""

_DECIMALS = 9
"""Means that differ by less share their rank, however the machine rounds."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranks:
    """Of K columns, from 1, the best first; equal means share the better rank.

    Attributes:
        shown: `(K,)`, of the shown means. An undefined mean goes before all others, since no failure is in it: a model
            that then draws what is not there loses ranks and cannot gain one.
        low: `(K,)`, in 95 % of the halves the rank lies from here ...
        high: ... to here.
        first_share: In which part of the halves it is 1.
    """

    shown: Array
    low: Array
    high: Array
    first_share: Array


def ranked(means: HalfMeans, scale: Scale) -> Ranks:
    """Returns the ranks of the columns.

    Args:
        means: Of the models, of one patient at least.
        scale: Of the metric.
    """
    # Without the empty half. All of them in their order would not be random where only some are taken.
    n_halves = means.by_half.shape[1] - 1
    some = np.arange(n_halves) + 1
    if n_halves > _N_HALVES:
        some = np.random.default_rng(SEED).choice(some, _N_HALVES, replace=False)
    by_half = _ranks(means.by_half[:, some].T, scale)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(by_half, [tail, 1 - tail], axis=0, method="closest_observation")
    return Ranks(_ranks(means.shown[None], scale)[0], low, high, np.mean(by_half == 1, axis=0))


def _ranks(means: Array, scale: Scale) -> Array:
    """Returns the ranks within each row."""
    from scipy.stats import rankdata

    errors = means if scale.is_lower_better else -means
    ranks: Array = rankdata(np.nan_to_num(np.round(errors, _DECIMALS), nan=-np.inf), method="min", axis=1)
    return ranks
