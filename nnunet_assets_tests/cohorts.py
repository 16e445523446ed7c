"""Cohorts of known truth, and how often the intervals that a summary or an evaluation would show of them hold it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from nnunet_assets.core.statistics.mean_intervals import SHARE, SIZE, Bounds, PatientWeights

Array = np.ndarray
UNDEFINED = float("nan")

MEANS_FROM = 2_000_000
"""Cases that a population's mean is taken over where nobody can write it down."""


@dataclass(frozen=True)
class Kind:
    """A kind of cohort.

    Attributes:
        describes: What the scores look like, for the table in the documentation.
        draw: Returns `(n_cases, n_cohorts, n_labels)` scores of as many cases, NaN where undefined.
        bounds: Of the scores.
        n_scans: Of the patients, in turn; one each where it is `(1,)`.
        is_foreground: Whether the interval is that of the mean of the labels.
    """

    describes: str
    draw: Callable[[np.random.Generator, Array, int], Array]
    bounds: Bounds = SHARE
    n_scans: tuple[int, ...] = (1,)
    is_foreground: bool = False


@dataclass(frozen=True)
class Coverage:
    """What became of the intervals of many cohorts.

    Attributes:
        shown: The part of the cohorts that have an interval.
        held: Of these the part whose interval holds the mean of the population; NaN where none has one.
        above: Of these the part whose interval lies above it: the model looks better than it is.
        width: The mean width of the intervals.
    """

    shown: float
    held: float
    above: float
    width: float


def one_each(draw: Callable[[np.random.Generator, tuple[int, int]], Array]) -> Callable[..., Array]:
    """Returns the drawing of cases that have nothing to do with each other."""
    return lambda rng, patients, n_cohorts: draw(rng, (len(patients), n_cohorts))[:, :, None]


def failing(share: float, a: float = 20, b: float = 2) -> Callable[..., Array]:
    """Returns the drawing of Dice that is 0 in this part of the cases."""
    return one_each(lambda rng, size: np.where(rng.random(size) < share, 0.0, rng.beta(a, b, size)))


def _scans(rng: np.random.Generator, patients: Array, n_cohorts: int) -> Array:
    """Cases of a patient are alike; one patient in ten fails in all of them."""
    n = patients.max() + 1
    own = np.clip(rng.beta(8, 1.5, (n, n_cohorts)), 0.02, 0.98)[patients]
    fails = (rng.random((n, n_cohorts)) < 0.1)[patients]
    return np.where(fails, 0.0, rng.beta(15 * own, 15 * (1 - own)))[:, :, None]


def _absent(rng: np.random.Generator, patients: Array, n_cohorts: int) -> Array:
    """Undefined in two cases of five; one in ten of the others is 0."""
    size = (len(patients), n_cohorts)
    dice = np.where(rng.random(size) < 0.1, 0.0, rng.beta(12, 2, size))
    return np.where(rng.random(size) < 0.4, UNDEFINED, dice)[:, :, None]


def _labels(rng: np.random.Generator, patients: Array, n_cohorts: int) -> Array:
    """Three labels that are as hard as their case; the last is undefined in a third of them and fails in a tenth."""
    own = np.clip(rng.beta(8, 1.5, (len(patients), n_cohorts, 1)), 0.02, 0.98)
    dice = rng.beta(20 * own, 20 * (1 - own), (len(patients), n_cohorts, 3))
    size = dice.shape[:2]
    dice[:, :, 2] = np.where(rng.random(size) < 0.1, 0.0, dice[:, :, 2])
    dice[:, :, 2] = np.where(rng.random(size) < 1 / 3, UNDEFINED, dice[:, :, 2])
    return dice


KINDS: dict[str, Kind] = {
    "normal": Kind("Dice, normal, 0.90 ± 0.05", one_each(lambda rng, size: rng.normal(0.9, 0.05, size).clip(0, 1))),
    "skewed": Kind("Dice, beta(8, 1): a tail below", one_each(lambda rng, size: rng.beta(8, 1, size))),
    "wide": Kind("Dice of a lesion, beta(3, 1.2)", one_each(lambda rng, size: rng.beta(3, 1.2, size))),
    "failing_20th": Kind("Dice of 0.91, one case in 20 scores 0", failing(1 / 20)),
    "failing_12th": Kind("Dice of 0.91, one case in 12 scores 0", failing(1 / 12)),
    "failing_10th": Kind("Dice of 0.91, one case in 10 scores 0", failing(1 / 10)),
    "failing_third": Kind("Dice of 0.73, one case in 3 scores 0", failing(1 / 3, 8, 3)),
    "ceiling": Kind(
        "NSD, 1.0 in three cases of five",
        one_each(lambda rng, size: np.where(rng.random(size) < 0.6, 1.0, 1 - rng.beta(1, 12, size))),
    ),
    "absent": Kind("Dice, undefined in 2 cases of 5, one in 10 of the others scores 0", _absent),
    "scans": Kind("Dice, 1 to 5 scans a patient, one patient in 10 fails", _scans, n_scans=(1, 3, 1, 5, 2, 1)),
    "labels": Kind("Foreground of 3 labels, one of them rare and failing", _labels, is_foreground=True),
    "hd95": Kind("HD95, lognormal, a tail above", one_each(lambda rng, size: rng.lognormal(1, 0.6, size)), SIZE),
    "hd95_wide": Kind("HD95, lognormal, a heavy tail", one_each(lambda rng, size: rng.lognormal(1, 1, size)), SIZE),
    "hd95_10th": Kind(
        "HD95, one case in 10 ten times as far",
        one_each(lambda rng, size: rng.lognormal(1, 0.5, size) * np.where(rng.random(size) < 0.1, 10, 1)),
        SIZE,
    ),
    "hd95_20th": Kind(
        "HD95, one case in 20 at 40 to 120 mm",
        one_each(
            lambda rng, size: np.where(rng.random(size) < 0.05, rng.uniform(40, 120, size), rng.gamma(4, 0.7, size))
        ),
        SIZE,
    ),
}


def coverage(name: str, *, n_patients: int, n_cohorts: int, n_resamples: int, seed: int) -> Coverage:
    """Returns what becomes of the intervals of cohorts of so many patients, drawn and shown as a summary does."""
    kind, rng = KINDS[name], np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), [kind.n_scans[k % len(kind.n_scans)] for k in range(n_patients)])
    truth = truth_of(kind)
    weights = PatientWeights([f"p{k:04}" for k in patients], n_resamples=n_resamples)
    values = kind.draw(rng, patients, n_cohorts)
    if kind.is_foreground:
        found = [weights.means(values[:, k]).interval_over_columns(kind.bounds) for k in range(n_cohorts)]
    else:
        means = weights.means(values[:, :, 0])
        found = [means.interval(k, kind.bounds) for k in range(n_cohorts)]
    shown = [interval for interval in found if interval is not None]
    if not shown:
        return Coverage(0.0, UNDEFINED, UNDEFINED, UNDEFINED)
    return Coverage(
        shown=len(shown) / n_cohorts,
        held=float(np.mean([one.low <= truth <= one.high for one in shown])),
        above=float(np.mean([truth < one.low for one in shown])),
        width=float(np.mean([one.high - one.low for one in shown])),
    )


@cache
def truth_of(kind: Kind) -> float:
    """Returns the mean of the population: of every case, or of the labels' means."""
    n = MEANS_FROM // 10 // len(kind.n_scans)
    patients = np.repeat(np.arange(n * len(kind.n_scans)), list(kind.n_scans) * n)
    scores = kind.draw(np.random.default_rng(0), patients, 1)[:, 0]
    scores = np.concatenate([scores, *(kind.draw(np.random.default_rng(k), patients, 1)[:, 0] for k in range(1, 10))])
    return float(np.nanmean(scores, axis=0).mean())
