from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.statistics import SignedRankTest, holm, seed_noise, signed_rank_test
from nnunet_assets_tests.simulations import false_positives


def test_of(*differences):
    return signed_rank_test(np.array(differences, dtype=float))


test_of.__test__ = False


def test_six_differences_of_one_sign_have_the_smallest_p_of_six():
    assert test_of(0.1, 0.2, 0.3, 0.4, 0.5, 0.6) == SignedRankTest(n=6, p=pytest.approx(2 / 2**6), rank_biserial=1.0)


def test_the_effect_size_is_the_difference_of_the_rank_sums_over_their_sum():
    # Ranks 1 to 6; the second and the fifth are negative: (1 + 3 + 4 + 6 - 2 - 5) / 21.
    found = test_of(0.1, -0.2, 0.3, 0.4, -0.5, 0.6)
    assert found.rank_biserial == pytest.approx(7 / 21)
    # 14 or more as the sum of positive ranks has 28 of the 64 signs, as many on the other side.
    assert found.p == pytest.approx(0.5625)


def test_equal_sizes_share_their_rank_and_the_p_value_stays_exact():
    # Ranks 1.5, 1.5, 3, 4, 5, 6, one of the smallest negative: as far out lie 3 of 64 signs on each side.
    found = test_of(0.1, -0.1, 0.2, 0.3, 0.4, 0.5)
    assert found.rank_biserial == pytest.approx((19.5 - 1.5) / 21)
    assert found.p == pytest.approx(6 / 64)


@pytest.mark.parametrize("n", [6, 13, 50, 51, 200])
def test_without_equal_sizes_the_p_value_is_scipys(n):
    from scipy.stats import wilcoxon

    differences = np.random.default_rng(n).normal(0.3, 1, n)
    assert signed_rank_test(differences).p == pytest.approx(wilcoxon(differences).pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_with_equal_sizes_the_p_value_is_that_of_all_permutations(seed):
    from scipy.stats import PermutationMethod, wilcoxon

    differences = np.random.default_rng(seed).integers(1, 4, 10) * np.array([1, -1, 1, 1, 1, -1, 1, 1, 1, 1.0])
    assert signed_rank_test(differences).p == pytest.approx(wilcoxon(differences, method=PermutationMethod()).pvalue)


def test_differences_of_zero_and_undefined_ones_are_left_out():
    differences = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert test_of(*differences, 0.0, 0.0, float("nan")) == test_of(*differences)


@pytest.mark.parametrize("n", [1, 5])
def test_fewer_than_six_differences_have_an_effect_but_no_p_value(n):
    assert test_of(*[0.1] * n, 0.0) == SignedRankTest(n=n, p=None, rank_biserial=1.0)


@pytest.mark.parametrize("differences", [(), (0.0, 0.0), (float("nan"),)])
def test_no_difference_has_neither(differences):
    assert test_of(*differences) == SignedRankTest(n=0, p=None, rank_biserial=None)


def test_two_equal_models_are_told_apart_in_one_comparison_of_twenty():
    """1,000 of 30 cases: 95 of 100 seeds lie within 0.0136; benchmarks/statistics_simulation.py draws 10,000."""
    assert false_positives(n_cases=30, n_comparisons=1000, seed=3) == pytest.approx(0.05, abs=0.0136)


def test_what_only_the_arithmetic_makes_is_no_difference_and_breaks_no_tie():
    # 0.1 + 0.2 - 0.3 is 5.6e-17; 0.3 - 0.1 and 0.2 differ in the last digit.
    assert signed_rank_test(np.array([0.1 + 0.2 - 0.3] * 8)) == SignedRankTest(n=0, p=None, rank_biserial=None)
    exact, noisy = [0.2, -0.2, 0.2, 0.4, 0.4, 0.4], [0.3 - 0.1, -0.2, 0.2, 0.4, 0.7 - 0.3, 0.4]
    assert exact != noisy
    assert signed_rank_test(np.array(noisy)) == signed_rank_test(np.array(exact))


def test_holm_takes_the_smallest_times_all_the_next_times_one_less_and_never_less_than_the_one_before():
    # Sorted 0.01, 0.02, 0.03, 0.5: 0.04, 0.06, 0.06 (the next one times two is as much), 0.5.
    assert holm([0.5, 0.01, 0.03, 0.02]) == pytest.approx([0.5, 0.04, 0.06, 0.06])
    # 0.011 * 2 is less than 0.01 * 3.
    assert holm([0.01, 0.011, 0.9]) == pytest.approx([0.03, 0.03, 0.9])


def test_holm_counts_only_what_was_tested_and_stops_at_1():
    assert holm([None, 0.02, None, 0.9]) == [None, 0.04, None, 0.9]
    assert holm([0.8, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_the_p_value_and_bonferroni(p_values):
    corrected = holm(p_values)
    for p, found in zip(p_values, corrected, strict=True):
        assert p <= found <= min(1.0, p * len(p_values)) or found == p
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    assert [corrected[index] for index in order] == sorted(corrected)


def test_the_noise_of_seeds_is_pooled_over_sets_of_repeats():
    # Squares about 0.8: 0.01 and 0.01; about 0.6: 0.01, 0, 0.01. Five repeats in two sets: 3 degrees, t = 3.182.
    noise = seed_noise([[0.7, 0.9], [0.5, 0.6, 0.7], [0.1]])
    assert noise is not None
    assert (noise.sd, noise.degrees_of_freedom) == (pytest.approx(sqrt(0.04 / 3)), 3)
    assert noise.floor == pytest.approx(3.1824 * sqrt(2) * sqrt(0.04 / 3), rel=1e-4)


@pytest.mark.parametrize("sets", [[], [[0.5]], [[0.5], [0.6]]])
def test_without_repeats_there_is_no_noise_floor(sets):
    assert seed_noise(sets) is None


def test_nineteen_of_twenty_differences_between_repeats_are_below_the_floor():
    rng = np.random.default_rng(0)
    repeats = rng.normal(0.8, 0.01, (2000, 5))
    below = [abs(a - b) < seed_noise([others]).floor for a, b, *others in repeats.tolist()]
    assert np.mean(below) == pytest.approx(0.95, abs=0.015)
