"""When a file counts as unchanged: what the file system says of it, and when that may be believed."""

import os
import time
from pathlib import Path
from typing import NamedTuple

SAFETY_SECONDS = 2.0
"""A file that changed so shortly before it was read may change again within the same tick of the file system's clock
(2 s on FAT, less elsewhere), without a trace. The same holds where that clock, a server's, is ahead of ours."""


class FileStat(NamedTuple):
    """Size, times and number of a file, links followed."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def is_settled(self, looked_at_ns: int) -> bool:
        """Tells whether a later change of the file would show, given when it was looked at."""
        return looked_at_ns - max(self.mtime_ns, self.ctime_ns) > SAFETY_SECONDS * 1e9


def stat_of(path: Path) -> FileStat:
    """Returns what the file system says of a file.

    Raises:
        OSError: It is not there.
    """
    found = os.stat(path)  # noqa: PTH116 (half the time of `Path.stat`, once a file of every dataset)
    return FileStat(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def now_ns() -> int:
    """Returns the time by the clock that files are stamped with."""
    return time.time_ns()
