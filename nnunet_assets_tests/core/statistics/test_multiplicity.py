from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.statistics.multiplicity import bonferroni, seed_noise


def test_a_p_value_is_corrected_by_the_number_of_tests_up_to_1() -> None:
    assert bonferroni(0.01, 3) == pytest.approx(0.03)
    assert bonferroni(0.4, 3) == 1.0
    assert bonferroni(None, 3) is None


def test_the_noise_of_seeds_is_that_of_the_set_with_the_widest_floor() -> None:
    # SD 0.1 of three, t of two degrees of freedom 4.303; SD 0.0141 of two, t of one degree 12.706: 0.609 and 0.254.
    noise = seed_noise([[0.71, 0.73], [0.5, 0.6, 0.7], [0.1]])
    assert noise is not None
    assert (noise.sd, noise.degrees_of_freedom) == (pytest.approx(0.1), 2)
    assert noise.floor == pytest.approx(4.3027 * 2**0.5 * 0.1, rel=1e-4)


@pytest.mark.parametrize("sets", [[], [[0.5]], [[0.5], [0.6]]])
def test_without_repeats_there_is_no_noise_floor(sets: list[Any]) -> None:
    assert seed_noise(sets) is None


def test_nineteen_of_twenty_differences_between_repeats_are_below_the_floor() -> None:
    rng = np.random.default_rng(0)
    repeats = rng.normal(0.8, 0.01, (2000, 5))
    below = [abs(a - b) < seed_noise([others]).floor for a, b, *others in repeats.tolist()]
    assert np.mean(below) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("spread", [1, 3, 10])
def test_nineteen_of_twenty_differences_of_a_noisy_set_are_below_the_floor_whatever_the_others_are(spread: int) -> None:
    """With both sets pooled it was 84 % where one scatters three times as much as the other."""
    rng = np.random.default_rng(spread)
    quiet, noisy = rng.normal(0.8, 0.01, (2000, 5)), rng.normal(0.8, 0.01 * spread, (2000, 7))
    below = [
        abs(a - b) < seed_noise([calm.tolist(), others]).floor
        for calm, (a, b, *others) in zip(quiet, noisy.tolist(), strict=True)
    ]
    assert np.mean(below) > 0.95 - 0.01
