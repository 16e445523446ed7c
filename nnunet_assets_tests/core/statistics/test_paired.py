"""The difference of two shown means: interval, test and effect from the same halves."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.statistics import paired as module
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.statistics.halves import Halves
from nnunet_assets.core.statistics.paired import PairedDifference, paired_differences
from nnunet_assets.core.statistics.scoring import Scale, scale_of
from nnunet_assets_tests.comparison_simulations import Model, rates

NAN = float("nan")
DICE = scale_of("dice")


def paired(left: list[float], right: list[float], scale: Scale = DICE) -> PairedDifference:
    """Of one case a patient."""
    means = Halves([f"p{k:03}" for k in range(len(left))]).means(np.column_stack([left, right]))
    (found,) = paired_differences(means, [(0, 1)], scale)
    return found


def test_six_patients_of_one_sign_have_the_smallest_p_and_an_interval_from_the_smallest_to_the_largest() -> None:
    found = paired([0.5] * 6, [0.6, 0.7, 0.8, 0.9, 0.55, 0.65])
    # Of 64 halves the empty one alone does not speak for the right one.
    assert found.p == 2 / 64
    # The second of either end: the halves of one patient.
    assert found.interval == Interval(-0.4, -0.05)
    assert found.mean == pytest.approx(-0.2)
    assert found.effect == pytest.approx(-0.2 / (0.5 + 0.3))
    assert (found.n_left_better, found.n_right_better) == (0, 6)


def test_a_hallucination_counts_against_a_model_in_the_halves_in_which_the_other_is_undefined() -> None:
    # Nobody has the object but three; the left one draws it in two others.
    found = paired([0.8, 0.8, 0.8, 0.0, 0.0, NAN, NAN, NAN], [0.8, 0.8, 0.8, *[NAN] * 5])
    assert found.mean == pytest.approx(0.8 * 3 / 5 - 0.8)
    # 64 halves hold neither of the two cases: they speak for nobody. All others are against the left one.
    assert found.p == pytest.approx(2 * 64 / 256)
    assert (found.n_left_better, found.n_right_better) == (0, 2)
    assert found.interval is not None
    assert found.interval.low == -1.0


@pytest.mark.parametrize("seed", range(6))
def test_p_is_twice_the_share_of_the_halves_that_do_not_speak_for_the_better_one(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 5, (7, 2)) / 4 + [[0.125, 0.0]]
    scores[random.random(7) < 0.5] = NAN  # nothing to find, nor found
    scores[0] = scores[0, ::-1] if seed % 2 else (NAN, 0.0)
    found = paired(scores[:, 0].tolist(), scores[:, 1].tolist())
    halves = [list(half) for half in itertools.product([False, True], repeat=7)]
    means = [[_mean(column[half]) for column in scores.T] for half in halves]
    # An undefined mean is a perfect one, unless both are.
    gains = [None if left is right is None else _or(left, 1.0) - _or(right, 1.0) for left, right in means]
    assert found.mean is not None
    n_against = sum(gain is None or gain * np.sign(found.mean) <= 1e-12 for gain in gains)
    assert found.p == pytest.approx(min(1.0, 2 * n_against / 128))


def _mean(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def _or(mean: float | None, other: float) -> float:
    return other if mean is None else mean


def test_a_model_that_misses_by_a_distance_is_behind_by_it() -> None:
    scale = scale_of("hd95_mm", 200.0)
    found = paired([2.0] * 8, [1.0] * 4 + [200.0] * 4, scale)
    assert found.mean == pytest.approx(2 - 100.5)
    assert found.effect == pytest.approx(-98.5 / 102.5)
    assert (found.n_left_better, found.n_right_better) == (4, 4)
    # 16 halves hold no miss: 15 speak for the right one, which has the lower mean then, and one is empty.
    assert found.p == 2 * 16 / 256


def test_without_known_ends_an_interval_that_would_reach_them_is_left_out() -> None:
    rare = [3.0, 4.0, *[NAN] * 6]
    assert paired(rare, [2.0, 2.0, *[NAN] * 6], scale_of("hd95_mm")).interval is None
    assert paired(rare, [2.0, 2.0, *[NAN] * 6], scale_of("hd95_mm", 90.0)).interval == Interval(-90.0, 90.0)


def test_what_only_the_arithmetic_makes_is_no_difference() -> None:
    found = paired([0.1 + 0.2] * 8, [0.3] * 8)
    assert (found.p, found.n_left_better, found.n_right_better) == (1.0, 0, 0)
    assert found.interval == Interval(0.0, 0.0)
    assert str(found.interval.low) == "0.0"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=6, max_size=9))
def test_the_interval_leaves_out_zero_where_p_is_below_five_percent_and_only_there(
    scores: list[tuple[int, int]],
) -> None:
    found = paired([left / 20 for left, _ in scores], [right / 20 for _, right in scores])
    assert found.interval is not None
    assert found.p is not None
    assert (found.p < 0.05) == (found.interval.low > 0 or found.interval.high < 0)
    assert found.mean is not None
    assert found.interval.low - 1e-9 <= found.mean <= found.interval.high + 1e-9


NULLS = [
    (Model(0.1, 0.1), Model(0.1, 0.1)),
    (Model(0.2, 0.2, 0.9), Model(0.3, 0.3).as_good_as(Model(0.2, 0.2, 0.9))),
]


@pytest.mark.parametrize("models", NULLS, ids=["both fail alike", "one fails more and is better elsewhere"])
@pytest.mark.parametrize("n_patients", [10, 20])
def test_models_of_equal_means_are_told_apart_in_one_comparison_of_twenty(
    models: tuple[Model, Model], n_patients: int
) -> None:
    """2,000 cohorts: 95 of 100 seeds lie within 0.0096; benchmarks/comparison_simulation.py draws more."""
    found = rates(models, n_patients=n_patients, n_cohorts=2000, seed=n_patients, n_halves=1024)
    assert found.foreground == pytest.approx(0.05, abs=0.01)
    assert found.coverage == pytest.approx(0.95, abs=0.01)


def test_a_model_that_hallucinates_and_misses_more_is_found() -> None:
    models = Model(0.05, 0.05), Model(0.25, 0.35)
    assert rates(models, n_patients=50, n_cohorts=200, seed=0).foreground > 0.8


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_pairs_do_not_hang_on_how_many_are_taken_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    scores = np.array(
        [[0.5, 0.6, 0.7], [0.6, 0.8, 0.7], [0.1, 0.3, 0.2], [0.4, 0.4, 0.4], [0.7, 0.9, 0.6], [0.3, 0.5, 0.9]]
    )
    means = Halves([str(k) for k in range(6)]).means(scores)
    pairs = [(0, 1), (2, 0), (1, 2)]
    whole = list(paired_differences(means, pairs, DICE))
    assert [round(one.mean or 0, 6) for one in whole] == [-0.15, 0.15, 0.0]
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", at_once)
    assert list(paired_differences(means, pairs, DICE)) == whole


def test_five_patients_have_a_difference_and_no_test() -> None:
    found = paired([0.5] * 5, [0.75] * 5)
    assert (found.mean, found.interval, found.p, found.effect) == (-0.25, None, None, pytest.approx(-1 / 3))
    assert paired([0.5] * 6, [0.75] * 6).p == 2 / 64


def test_where_one_mean_is_undefined_patients_are_counted_all_the_same() -> None:
    found = paired([NAN] * 6, [0.5, NAN, NAN, 1.0, 0.0, NAN])
    assert found == PairedDifference(None, None, None, None, 2, 0)


def test_where_neither_errs_there_is_no_effect() -> None:
    found = paired([1.0] * 6, [1.0] * 6)
    assert (found.effect, found.p, found.interval) == (0.0, 1.0, Interval(0.0, 0.0))


def test_a_distance_is_the_same_to_nine_decimals_and_a_share_to_twelve() -> None:
    scale = scale_of("hd95_mm", 200.0)
    assert paired([100.0] * 6, [100.0 + 4e-10] * 6, scale).n_left_better == 0
    assert paired([100.0] * 6, [100.0 + 6e-10] * 6, scale).n_left_better == 6
    assert paired([0.5] * 6, [0.5 - 4e-13] * 6).n_left_better == 0
    assert paired([0.5] * 6, [0.5 - 4e-12] * 6).n_left_better == 6


def test_an_interval_is_cut_where_two_and_a_half_percent_of_the_halves_lie_beyond() -> None:
    # Of 128 halves 3.2 are too few: the fourth of either end, of differences 0.01, 0.02, 0.04 ... of each patient.
    gains = [0.01 * 2**k for k in range(7)]
    found = paired([0.0] * 7, gains)
    means = Halves([f"p{k:03}" for k in range(7)]).means(np.array(gains)[:, None]).by_half[0]
    ordered = sorted(-means[1:])
    # The empty half speaks for neither side, and may lie at either end.
    assert found.interval == Interval(round(float(ordered[2]), 9), round(float(ordered[-3]), 9))
