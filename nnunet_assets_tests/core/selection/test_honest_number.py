"""The expected score of a choice, against the same computed fold by fold, and on cohorts of known truth."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.selection.candidates import Candidates
from nnunet_assets.core.selection.choice import Units
from nnunet_assets.core.selection.honest_number import SEED, HonestNumber, honest_number, luck_variance
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets_tests.core.selection.test_choice import NAN, chosen, units


def found(of: Units, n_draws: int = 50) -> HonestNumber:
    number = honest_number(Candidates.plain(of), n_draws=n_draws)
    assert isinstance(number, HonestNumber), number
    return number


def random_units(seed: int = 0, *, n_folds: int = 3, n_cases: int = 12, n_labels: int = 2) -> Units:
    random = np.random.default_rng(seed)
    scores = random.uniform(0.3, 0.9, (4, n_cases, n_labels))
    scores[random.random(scores.shape) < 0.1] = NAN
    return units(scores, folds=[case % n_folds for case in range(n_cases)])


def mean_of(of: Units, one: int, weights: Any) -> float:
    return float(of.differences(np.array([weights], float)).means[0, one])


@pytest.mark.parametrize("seed", range(5))
def test_the_number_is_the_mean_over_all_ordered_draws_of_folds(seed: int) -> None:
    of = random_units(seed)
    scores = []
    for drawn in product(range(3), repeat=3):
        times = np.bincount(drawn, minlength=3)
        if times.all():
            continue
        one = chosen(of, times[of.fold])
        scores.append(mean_of(of, one, (times == 0)[of.fold]))
    assert found(of).mean == pytest.approx(float(np.mean(scores)), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_leaving_one_out_scores_each_fold_by_what_the_others_choose(seed: int) -> None:
    of = random_units(seed)
    number = found(of)
    assert number.by_fold == {fold: chosen(of, of.fold != fold) for fold in range(3)}
    picked = np.zeros_like(of.sums[0]), np.zeros_like(of.counts[0])
    for fold, one in number.by_fold.items():
        for total, part in zip(picked, (of.sums, of.counts), strict=True):
            total[of.fold == fold] = part[one][of.fold == fold]
    means = [s / n for s, n in zip(picked[0].sum(axis=0), picked[1].sum(axis=0), strict=True) if n]
    assert number.left_one_out == pytest.approx(float(np.mean(means)), abs=1e-12)


def test_one_candidate_is_expected_to_score_what_it_scores() -> None:
    # Folds of one size: whatever is drawn, each fold is as often among those that were not.
    scores = [[0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]
    number = found(units(scores, folds=[0, 0, 1, 1, 2, 2]))
    assert number.mean == pytest.approx(0.75)
    assert number.left_one_out == pytest.approx(0.75)
    assert number.interval.low < 0.75 < number.interval.high


def test_a_clear_winner_has_no_optimism_and_equal_ones_have() -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.05, (10, 50))
    folds = [case % 5 for case in range(50)]
    clear = units(0.5 + noise + np.array([[0.3]] + [[0.0]] * 9), folds=folds, simplicity=[0] * 10)
    equal = units(0.5 + noise, folds=folds, simplicity=[0] * 10)
    optimism = [mean_of(of, chosen(of), np.ones(50)) - found(of).mean for of in (clear, equal)]
    assert optimism[0] == pytest.approx(0, abs=1e-12)
    assert optimism[1] > 0.005


def test_nothing_in_it_is_random_but_the_interval_and_that_is_always_the_same() -> None:
    assert found(random_units()) == found(random_units())
    assert found(random_units(), n_draws=20).mean == found(random_units()).mean


def test_two_thousand_draws_are_made_where_nobody_says_how_many() -> None:
    candidates = Candidates.plain(random_units())
    assert honest_number(candidates) == honest_number(candidates, n_draws=2000)


@pytest.mark.parametrize("n_folds", [1, 2])
def test_of_fewer_than_three_folds_there_is_none(n_folds: int) -> None:
    reason = honest_number(Candidates.plain(random_units(n_folds=n_folds)))
    assert isinstance(reason, str)
    assert reason.startswith(f"{n_folds} fold{'' if n_folds == 1 else 's'} ")


def test_of_many_folds_it_is_that_of_leaving_one_out() -> None:
    number = found(random_units(n_folds=9, n_cases=27))
    assert number.mean == number.left_one_out


def test_of_five_patients_there_is_no_interval() -> None:
    scores = np.linspace(0.4, 0.9, 12).reshape(2, 6)
    of = units(scores, folds=[0, 0, 1, 1, 2, 2], patients=[0, 1, 2, 3, 4, 4])
    assert found(of).interval is None
    assert found(units(scores, folds=[0, 0, 1, 1, 2, 2])).interval is not None


def test_a_fold_without_a_defined_score_is_no_score_of_a_choice() -> None:
    scores = [[0.5, 0.6, 0.7, 0.8, NAN, NAN], [0.4, 0.5, 0.6, 0.7, NAN, NAN]]
    assert 0.5 < found(units(scores, folds=[0, 0, 1, 1, 2, 2])).mean < 0.8


def test_where_no_choice_can_be_scored_there_is_none() -> None:
    reason = honest_number(Candidates.plain(units(np.full((2, 6), NAN), folds=[0, 0, 1, 1, 2, 2])))
    assert isinstance(reason, str)
    assert "no label" in reason


def test_of_eight_folds_all_draws_are_taken() -> None:
    number = found(random_units(3, n_folds=8, n_cases=24), n_draws=2)
    assert number.mean != number.left_one_out


@pytest.mark.parametrize("n_candidates", [1, 2, 4])
def test_luck_is_what_folds_differ_by_beyond_their_cases(n_candidates: int) -> None:
    random = np.random.default_rng(n_candidates)
    folds = [0] * 4 + [1] * 6 + [2] * 5
    luck = random.normal(0, 0.1, (n_candidates, 3))[:, folds]
    scores = 0.5 + luck + random.normal(0, 0.02, luck.shape)
    assert luck_variance(units(scores, folds=folds)) == pytest.approx(plain_luck_variance(scores, folds), abs=1e-12)
    assert plain_luck_variance(scores, folds) > 0


def plain_luck_variance(scores: Any, folds: Any) -> float:
    """Returns the component of variance between folds of a one-way layout, what all candidates share taken off."""
    shown = scores - (scores.mean(axis=0) if len(scores) > 1 else 0)
    names = sorted(set(folds))
    sizes = [folds.count(name) for name in names]
    n, between, within = len(folds), 0.0, 0.0
    for row in shown:
        for name, size in zip(names, sizes, strict=True):
            values = [value for value, fold in zip(row, folds, strict=True) if fold == name]
            between += size * (float(np.mean(values)) - float(row.mean())) ** 2
            within += sum((value - float(np.mean(values))) ** 2 for value in values)
    n_free = max(len(scores) - 1, 1)
    between, within = between / n_free / (len(names) - 1), within / n_free / (n - len(names))
    per_fold = (n - sum(size**2 for size in sizes) / n) / (len(names) - 1)
    return max(0.0, float((between - within) / per_fold))


def test_there_is_no_luck_where_the_cases_explain_it_or_each_fold_has_one() -> None:
    scores = np.tile([[0.5], [0.6]], 6) + np.array([0.0, 0.1, 0.2, 0.0, 0.1, 0.2])
    assert luck_variance(units(scores, folds=[0, 0, 0, 1, 1, 1])) == pytest.approx(0, abs=1e-12)
    assert luck_variance(units([[0.1, 0.9, 0.5], [0.2, 0.1, 0.7]])) == 0
    # One case more than folds is enough.
    assert luck_variance(units([[0.1, 0.1001, 0.9, 0.5], [0.2, 0.2, 0.1, 0.7]], folds=[0, 0, 1, 2])) > 0


def test_luck_widens_the_interval_of_a_clear_winner_by_what_no_draw_shows() -> None:
    random = np.random.default_rng(4)
    folds = [case % 5 for case in range(100)]
    noise, luck = random.normal(0, 0.02, (2, 100)), random.normal(0, 0.03, (2, 5))
    level = np.array([[0.8], [0.4]])

    def width(scores: Any) -> float:
        interval = found(units(level + scores, folds=folds), n_draws=400).interval
        return interval.high - interval.low

    of = units(level + noise + luck[:, folds], folds=folds)
    without = np.quantile(np.random.default_rng(0).normal(0, 1, 100_000), 0.975)
    cases = (level + noise + luck[:, folds])[0].std(ddof=1) / 10
    expected = 2 * without * np.hypot(cases, np.sqrt(luck_variance(of) / 5))
    assert width(noise + luck[:, folds]) == pytest.approx(expected, rel=0.1)
    assert width(noise + luck[:, folds]) > 1.5 * width(noise)


def test_few_patients_widen_it() -> None:
    # Student's 2.571 of six patients times the root of 6/5, where draws alone have 1.96 at most.
    scores = np.array([[0.50, 0.52, 0.54, 0.56, 0.58, 0.60]])
    interval = found(units(scores, folds=[0, 1, 2, 2, 1, 0]), n_draws=4000).interval
    student = 2 * 2.571 * scores.std(ddof=1) / np.sqrt(6)
    assert 0.75 * student < interval.high - interval.low < 1.1 * student


def test_the_interval_is_cut_where_students_would_be() -> None:
    # Folds of one mean, so that nothing speaks for the luck of a training.
    scores = np.array([0.2, 0.8, 0.3, 0.7, 0.4, 0.6])
    number = found(units([scores], folds=[0, 0, 1, 1, 2, 2]), n_draws=200)
    from scipy.stats import norm, t

    drawn = np.random.default_rng(SEED).multinomial(6, [1 / 6] * 6, size=200) @ scores / 6
    share = norm.cdf(-t.ppf(0.975, 5) * (6 / 5) ** 0.5)
    low, high = (0.5 + np.quantile(drawn - drawn.mean(), one) for one in (share, 1 - share))
    assert (number.interval.low, number.interval.high) == (round(float(low), 9), round(float(high), 9))


def test_the_interval_ends_where_scores_do() -> None:
    # A fold that is another one by the luck of its training: what the draws do not show widens the interval.
    high, low = (units([scores], folds=[0, 0, 1, 1, 2, 2]) for scores in ([1.0] * 4 + [0.7] * 2, [0.0] * 4 + [0.3] * 2))
    assert found(high, n_draws=200).interval == Interval(0.636723828, 1.0)
    assert found(low, n_draws=200).interval == Interval(0.0, 0.363276172)


def test_with_fewer_than_three_folds_there_is_no_number() -> None:
    for folds, said in (([0, 0], "1 fold is finished"), ([0, 1], "2 folds are finished")):
        assert str(honest_number(Candidates.plain(units([[0.5, 0.6]], folds=folds)))).startswith(said)
