"""Which norms of a gradient are spikes."""

import math
from statistics import median

from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.training.spikes import LEAST, TIMES, WINDOW, SpikeFinder


def spikes_of(norms: list[float]) -> dict[int, float]:
    finder = SpikeFinder()
    found = ((number, finder.take(norm)) for number, norm in enumerate(norms))
    return {number: times for number, times in found if times is not None}


def test_a_norm_far_above_the_median_before_it_is_one_with_how_many_times() -> None:
    usual = [1.0, 2.0, 3.0] * 10  # their median is 2, with a 20 among them too
    assert spikes_of([*usual, 20.0, 21.0, 2.0, 50.0]) == {31: 10.5, 33: 25.0}


def test_nothing_is_one_before_it_is_known_what_is_usual() -> None:
    assert spikes_of([1.0] * (LEAST - 1) + [1e6]) == {}


def test_a_spike_does_not_make_the_next_one_usual() -> None:
    assert list(spikes_of([1.0] * LEAST + [100.0] * 200)) == list(range(LEAST, LEAST + 200))


def test_a_hundred_norms_say_what_is_usual() -> None:
    # The last hundred are fifty of each, whose median is 2.
    assert spikes_of([1.0] * 60 + [3.0] * 50 + [21.0]) == {110: 10.5}


def test_what_is_no_number_is_neither_usual_nor_a_spike() -> None:
    assert spikes_of([math.inf, math.nan] * 50 + [1e6]) == {}


@given(st.lists(st.floats(0, 1e6), max_size=300))
def test_no_norm_up_to_ten_times_the_least_of_a_window_is_one(norms: list[float]) -> None:
    for number in spikes_of(norms):
        assert norms[number] > TIMES * min(norms[max(0, number - WINDOW) : number])


@given(st.lists(st.floats(0.5, 2), min_size=LEAST, max_size=WINDOW), st.floats(1e-3, 1e3))
def test_it_is_the_median_that_counts_whatever_the_unit(norms: list[float], unit: float) -> None:
    limit = TIMES * median(norms) * unit
    scaled = [norm * unit for norm in norms]
    assert spikes_of([*scaled, limit * 1.001])
    assert not spikes_of([*scaled, limit * 0.999])
