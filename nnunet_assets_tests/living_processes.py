"""Whether processes that a test started are gone."""

import time
from collections.abc import Iterable

import psutil


def living(pids: Iterable[int], within_seconds: float = 5.0) -> list[int]:
    """Returns which of these still run after a while: the kernel takes a moment to end a process that was killed."""
    deadline = time.monotonic() + within_seconds
    while (alive := [pid for pid in pids if _is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def _is_running(pid: int) -> bool:
    try:
        # A zombie only waits for a parent to look.
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
