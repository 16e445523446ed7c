"""Times that stay in order whatever is done to the clock of the machine.

A clock is set while folds train for days: by hand, by a virtual machine that wakes up, by the first answer of a time
server. What has passed is measured on a clock that only goes on, and that goes on while the machine sleeps.
"""

import time
from functools import cache

# macOS has no CLOCK_BOOTTIME: its CLOCK_MONOTONIC counts the sleep too, which Linux's does not.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_seconds() -> float:
    """Returns the seconds since some moment before this process began, those of the machine's sleep among them."""
    return time.clock_gettime(_STEADY)


def now_ms() -> int:
    """Returns the time, in milliseconds since 1970-01-01 UTC, as this process would have it had nobody set the clock.

    What lies between two of these times has really passed.
    """
    return _start_ms() + _steady_ms()


@cache
def _start_ms() -> int:
    """Returns when the steady clock stood at 0, by the clock of the world as it was when somebody first asked."""
    return time.time_ns() // 1_000_000 - _steady_ms()


def _steady_ms() -> int:
    return time.clock_gettime_ns(_STEADY) // 1_000_000
