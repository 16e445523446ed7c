"""What the chosen candidate may be expected to score: an estimate that does not profit from the choice.

The best of several means is better than what it is a mean of: the choice takes the candidates' luck for quality. And
the cases of a fold share one trained model, and so its luck, which makes folds the unit to estimate this from:

* The number: all ways to draw k of the k folds with replacement, each as often as chance gives it; the rule chooses on
  the drawn ones, and the choice is scored on those that were not drawn, by a mean as it is shown. No random number is
  in it. It is the bootstrap bias-corrected cross-validation of Tsamardinos, Greasidou and Borboudakis (Machine Learning
  107, 2018) with folds in place of cases. Of more than 8 folds, the next one in its place.
* Beside it, leaving one fold out: the rule chooses without a fold, and that choice's scores of this fold are taken.
* Interval: patients drawn with replacement, each staying in its fold, and that whole selection repeated on each draw.
  The middle of what comes out is moved to the number, and its spread is widened by what no draw of patients shows: that
  few of them spread too little (Hesterberg 2015, The American Statistician 69), and the luck of the trainings.

Luck of a training is what all cases of a fold share with one candidate alone: how much the candidates' means of a fold
differ beyond what the cases of it explain, by an analysis of variance. Where the draws choose now one candidate, now
another, they show its luck already; the rest is added.

All of them speak of one model that is trained on k - 1 parts of the data and chosen so. What is deployed, an ensemble
of k such models, is mostly better; only a test set can say by how much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import factorial, prod

import numpy as np

from nnunet_assets.core.selection.candidates import Candidates
from nnunet_assets.core.selection.choice import Array, Indices, Units, foreground
from nnunet_assets.core.statistics.estimate import CONFIDENCE, MIN_PATIENTS, Interval

MIN_FOLDS = 3
MAX_EXACT_FOLDS = 8
"""All multisets of 8 folds are 6,435, of 10 folds 92,378."""

N_DRAWS = 2000
SEED = 20180903


@dataclass(frozen=True)
class HonestNumber:
    """The expected foreground mean of what the rule takes.

    Attributes:
        mean: By all draws of folds.
        left_one_out: By leaving one fold out.
        interval: 95 %, of the mean; None with fewer than 6 patients.
        by_fold: What the rule takes where this fold is left out: a candidate, by its place.
    """

    mean: float
    left_one_out: float
    interval: Interval | None
    by_fold: Mapping[int, int]


def honest_number(candidates: Candidates, *, n_draws: int = N_DRAWS) -> HonestNumber | str:
    """Returns the estimate, or why there is none, in the middle of a sentence.

    Args:
        candidates: What is chosen from.
        n_draws: Of the patients, for the interval.
    """
    if candidates.n_folds < MIN_FOLDS:
        there = "1 fold is" if candidates.n_folds == 1 else f"{candidates.n_folds} folds are"
        return f"{there} finished, and it takes {MIN_FOLDS} to choose on some and score on another"
    left_out = _left_one_out(candidates, np.ones((1, len(candidates.fold))))
    left_one_out = float(left_out.means[0])
    mean = _over_drawn_folds(candidates) if candidates.n_folds <= MAX_EXACT_FOLDS else left_one_out
    if np.isnan(mean):
        return "no label is defined in the folds that a choice would be scored on"
    interval = _interval(candidates, mean, n_draws) if candidates.n_patients >= MIN_PATIENTS else None
    by_fold = {fold: int(one) for fold, one in enumerate(left_out.choices[:, 0])}
    return HonestNumber(mean, left_one_out, interval, by_fold)


def _over_drawn_folds(candidates: Candidates) -> float:
    """Returns the mean over all multisets of as many folds as there are; NaN where none can be scored."""
    k = candidates.n_folds
    drawn = np.array([np.bincount(one, minlength=k) for one in combinations_with_replacement(range(k), k)], dtype=float)
    drawn = drawn[(drawn == 0).any(axis=1)]  # something is left to be scored on
    chances = np.array([factorial(k) / prod(factorial(int(n)) for n in one) for one in drawn])
    chosen = candidates.chosen(drawn[:, candidates.fold])
    scores = foreground(*chosen.label_sums((drawn == 0).astype(float)[:, candidates.fold]))
    is_defined = ~np.isnan(scores)
    if not is_defined.any():
        return float("nan")
    return float(np.average(scores[is_defined], weights=chances[is_defined]))


def _left_one_out(candidates: Candidates, weights: Array) -> "_LeftOneOut":
    """Scores each fold, under each weighting, by what is chosen without it."""
    sums, counts = (np.zeros((len(weights), candidates.models.sums.shape[2])) for _ in range(2))
    choices = np.empty((candidates.n_folds, len(weights)), dtype=np.intp)
    for fold in range(candidates.n_folds):
        is_of_fold = candidates.fold == fold
        others, own = np.where(is_of_fold, 0.0, weights), np.where(is_of_fold, weights, 0.0)
        chosen = candidates.chosen(others)
        choices[fold] = chosen.places
        sums_of_fold, counts_of_fold = chosen.label_sums(own)
        sums += sums_of_fold
        counts += counts_of_fold
    return _LeftOneOut(foreground(sums, counts), choices)


@dataclass(frozen=True)
class _LeftOneOut:
    """Foreground means `(n_weightings,)`, and what was chosen without each fold, `(n_folds, n_weightings)`."""

    means: Array
    choices: Indices


def _interval(candidates: Candidates, mean: float, n_draws: int) -> Interval | None:
    from scipy.special import ndtr, stdtrit

    random = np.random.default_rng(SEED)
    n = candidates.n_patients
    times = random.multinomial(n, np.full(n, 1 / n), size=n_draws).astype(float)
    drawn = _left_one_out(candidates, times[:, candidates.patient])
    means = drawn.means[~np.isnan(drawn.means)]
    if not means.size:
        return None
    spread = means - means.mean()
    # Student's quantile, and n - 1: the tail that a normal distribution of the draws would have to be cut at.
    tail = ndtr(-stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * np.sqrt(n / (n - 1)))
    ends = np.quantile(spread, (tail, 1 - tail))
    if variance := spread.var():
        ends *= np.sqrt(1 + _luck_not_drawn(candidates, drawn.choices) / variance)
    low, high = mean + ends
    # Last digits depend on the machine's arithmetic; they say nothing in a drawn number.
    return Interval(round(max(0.0, float(low)), 9), round(min(1.0, float(high)), 9))


def _luck_not_drawn(candidates: Candidates, choices: Indices) -> float:
    """Returns the variance of the mean by the luck of trainings that the draws do not show."""
    shares = np.bincount(candidates.fold) / len(candidates.fold)
    # Two draws chose the same model, and have the same luck, in so many cases.
    models = candidates.model_of[choices]
    same = np.array([((np.bincount(of_fold) / len(of_fold)) ** 2).sum() for of_fold in models])
    return float(luck_variance(candidates.trainings) * (shares**2 * same).sum())


def luck_variance(units: Units) -> float:
    """Returns the variance of a fold's mean by the luck of its training; 0 where the cases explain all of it.

    Of several candidates what they have in common is taken off, the difficulty of the cases; of one alone folds that
    are harder by chance count as noise of the cases, as they should.
    """
    scores = units.pseudo_scores()
    n_candidates, n_units = scores.shape
    if n_candidates > 1:
        scores = scores - scores.mean(axis=0)
    sizes = np.bincount(units.fold)
    of_fold = np.array([scores[:, units.fold == fold].mean(axis=1) for fold in range(units.n_folds)])
    n_free = max(n_candidates - 1, 1)
    n_within = n_units - units.n_folds
    if n_within < 1:
        return 0.0
    between = (sizes[:, None] * of_fold**2).sum() / (n_free * (units.n_folds - 1))
    within = ((scores - of_fold[units.fold].T) ** 2).sum() / (n_free * n_within)
    per_fold = (n_units - (sizes**2).sum() / n_units) / (units.n_folds - 1)
    return max(0.0, float((between - within) / per_fold))
