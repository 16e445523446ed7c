"""A file that is written piece by piece and is whole or absent all the same; small ones have `write_atomically`."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunet_assets.core.files.provenance import fsync_folder


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields where to write; what was written takes the place of `path` at the end, and is removed on an error.

    What a kill leaves is found by `provenance.remove_unfinished`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def append_whole(path: Path, content: bytes, *, flushes: bool = False) -> int:
    """Appends to a file in a single write and returns where the content begins; one process at a time may append.

    Args:
        path: The file; made with its folder where it is not there.
        content: What to append.
        flushes: Also wait until it is on the disk.

    Raises:
        OSError: The disk is full. The file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    start = os.fstat(handle).st_size
    is_whole = False
    try:
        is_whole = os.write(handle, content) == len(content)
        if flushes:
            os.fsync(handle)
    finally:
        if not is_whole:
            os.ftruncate(handle, start)
        os.close(handle)
    if not is_whole:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return start
