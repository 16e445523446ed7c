"""What several sides cost, measured in turns on one machine, and their ratios with an interval.

A repeat runs every side once, in random order, so that a busy machine slows all of them. Not a benchmark itself.
"""

import ctypes
import math
import os
import random
import resource
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import fmean, stdev

import psutil


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes:
        wall_seconds: From its start to its end.
        cpu_seconds: User and system time of every process that it started.
        memory_bytes: The peak of these processes together, shared pages counted once; looked at 4 times a second.
    """

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: float


def interleaved(n_repeats: int, sides: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """Returns the costs of each side, each repeat in an order of its own.

    With more than one repeat, a first one does not count: it reads what later ones find in memory.
    """
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for repeat in range(n_repeats + (n_repeats > 1)):
        order = list(sides)
        random.Random(repeat).shuffle(order)
        for side in order:
            costs[side].append(sides[side]())
    return {side: measurements[-n_repeats:] for side, measurements in costs.items()}


def measured(work: Callable[[], None]) -> Cost:
    """Returns the cost of all processes that the work starts in this one."""
    before = children_seconds()
    with peak_memory() as peak:
        began = time.perf_counter()
        work()
        wall = time.perf_counter() - began
    reap()
    return Cost(wall, children_seconds() - before, max(peak))


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Appends the memory of all descendants of this process to the yielded list while the block runs."""
    seen, is_over = [1], threading.Event()

    def look() -> None:
        while not is_over.wait(0.25):
            total = 0
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
            seen.append(total)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def become_subreaper() -> None:
    """Makes orphans of a training children of this process, so that their processor time is counted too (Linux)."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def reap() -> None:
    """Waits for what a side left behind, some seconds at most."""
    deadline = time.monotonic() + 10
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(0.05)


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(costs: Mapping[str, list[Cost]]) -> None:
    """Prints the mean costs of each side."""
    for side, measurements in costs.items():
        wall, cpu = (fmean(getattr(cost, name) for cost in measurements) for name in ("wall_seconds", "cpu_seconds"))
        memory = fmean(cost.memory_bytes for cost in measurements) / 2**20
        print(f"  {side}: {wall:.1f} s, {cpu:.1f} s of processors, {memory:.0f} MiB", flush=True)


def fastest(costs: Mapping[str, list[Cost]], sides: Sequence[str]) -> str:
    """Returns the side that a person would have settled on."""
    return min(sides, key=lambda side: fmean(cost.wall_seconds for cost in costs[side]))


def said(
    what: str,
    costs: Mapping[str, list[Cost]],
    above: str,
    below: str,
    *,
    of: str = "wall_seconds",
    goal: float | None = None,
    by_upper: bool = False,
) -> bool:
    """Prints a ratio with its interval, and tells whether it meets its goal.

    Args:
        by_upper: The upper end of the interval must meet the goal.
    """
    logs = [math.log(getattr(a, of) / getattr(b, of)) for a, b in zip(costs[above], costs[below], strict=True)]
    ratio, half = math.exp(fmean(logs)), half_interval(logs)
    text = f"{what}: {ratio:.2f}"
    upper = ratio
    if half is not None:
        upper = math.exp(fmean(logs) + half)
        text += f" (95 % interval {math.exp(fmean(logs) - half):.2f} to {upper:.2f})"
    if goal is None:
        print(text, flush=True)
        return True
    is_met = (upper if by_upper else ratio) <= goal
    end = "the upper end " if by_upper else ""
    print(f"{text}; goal: {end}at most {goal:g}: {'met' if is_met else 'MISSED'}", flush=True)
    return is_met


def half_interval(values: list[float]) -> float | None:
    """Returns half of the 95 % interval of the mean; None for a single value, of which nothing is known."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def mean_and_range(seconds: list[float]) -> str:
    return f"{fmean(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
