"""What says that a thing is the same: the digest of its content, or what the file system says of a file.

By the file system a file is unchanged only where a later change would show in its times.
"""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from nnunet_assets.core.files.regular_file import open_regular

SAFETY_SECONDS = 2.0
"""A file that changed so shortly before it was read may change again within the same tick of the file system's clock
(2 s on FAT, less elsewhere), without a trace. The same holds where that clock, a server's, is ahead of ours."""


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """Returns the SHA-256 of a JSON value, the same whatever the order of its keys and the spaces in its file.

    NaN counts as itself: nnU-Net writes it into the plans of a dataset whose cases have no foreground.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


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
