"""The machine's memory, or what this container may take of it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def free_memory_bytes(cgroup: Path = CGROUP) -> int:
    """Returns what may be taken of the machine's memory, or of this container's limit where that is less.

    Args:
        cgroup: Where the kernel shows the limit of this control group, in version 2's files or version 1's.
    """
    return max(0, min([psutil.virtual_memory().available, *(limit - used for limit, used in _limits(cgroup))]))


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """Returns the machine's memory, or this container's limit where that is less; `cgroup` as above."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _limits(cgroup))])


def _limits(cgroup: Path) -> Iterator[tuple[int, int]]:
    """Yields the limit of a control group, and what is used of it; nothing where it has none."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # not there, or without a limit: "max"
            yield int((cgroup / limit).read_text()), int((cgroup / used).read_text())
