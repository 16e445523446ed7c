"""No run ends before it began, and what is sent later is later, whatever was done to the clock."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.tracking.runs.run_times import later_than

NOW = 1_900_000_000_000


@pytest.mark.parametrize(
    ("start", "end", "later"),
    [
        (NOW - 5, None, NOW),
        (NOW - 5, NOW - 1, NOW),
        (NOW + 3_600_000, None, NOW + 3_600_001),
        (NOW - 5, NOW + 3_600_000, NOW + 3_600_001),
    ],
)
def test_it_is_now_or_after_what_the_run_has(start: int, end: Any, later: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: NOW * 1_000_000)
    info: Any = SimpleNamespace(start_time=start, end_time=end)
    assert later_than(info) == later
