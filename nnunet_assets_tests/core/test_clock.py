"""Times go on as time does, whether the clock is set or the machine sleeps."""

import time
from collections.abc import Iterator

import pytest

from nnunet_assets.core import clock

HOUR_MS = 3_600_000


class Machine:
    """A machine with the clocks of Linux: one that is set, one that stands still while it sleeps, one that does not."""

    CLOCK_MONOTONIC, CLOCK_BOOTTIME = 1, 7

    def __init__(self) -> None:
        self.ms = {"world": 1_900_000_000_000, self.CLOCK_MONOTONIC: 50_000, self.CLOCK_BOOTTIME: 90_000}

    def time_ns(self) -> int:
        return self.ms["world"] * 1_000_000

    def clock_gettime_ns(self, clock: int) -> int:
        return self.ms[clock] * 1_000_000

    def clock_gettime(self, clock: int) -> float:
        return self.ms[clock] / 1000

    def works(self, ms: int) -> None:
        self.ms = {name: at + ms for name, at in self.ms.items()}

    def sleeps(self, ms: int) -> None:
        self.ms["world"] += ms
        self.ms[self.CLOCK_BOOTTIME] += ms

    def is_set(self, ms: int) -> None:
        self.ms["world"] += ms


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine()
    monkeypatch.setattr(clock, "time", made)
    clock._start_ms.cache_clear()
    yield made
    clock._start_ms.cache_clear()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="another system has another clock for it")
def test_what_passes_is_counted_and_what_is_set_is_not(machine: Machine) -> None:
    start_ms, start = clock.now_ms(), clock.steady_seconds()
    assert start_ms == machine.ms["world"]
    for change, passed in ((machine.works, 60_000), (machine.sleeps, HOUR_MS), (machine.works, 1)):
        before = clock.now_ms()
        change(passed)
        assert clock.now_ms() - before == passed
    for jump in (-HOUR_MS, 24 * HOUR_MS, -48 * HOUR_MS):
        before = clock.now_ms()
        machine.is_set(jump)
        assert clock.now_ms() == before
    assert clock.steady_seconds() - start == (60_000 + HOUR_MS + 1) / 1000


def test_the_time_is_that_of_the_clock_where_nobody_sets_it() -> None:
    clock._start_ms.cache_clear()
    assert abs(clock.now_ms() - time.time_ns() // 1_000_000) < 1000
