"""Files that are either whole or absent, for a reader at any moment and for a machine that loses power."""

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunet_assets.core.files.file_age import age_seconds
from nnunet_assets.core.files.regular_file import open_to_append

UNFINISHED_SECONDS = 5
"""A temporary file that is younger may still be written."""


_MOST_BYTES = 100
"""Of a name, in that of the temporary file: encrypted file systems take 143, others 255."""


@contextmanager
def written_whole(path: Path, *, is_private: bool = False) -> Iterator[Path]:
    """Yields where to write; what was written takes the place of `path` at the end, and is removed on an error.

    It is a file beside `path`, flushed to the disk before the rename. What a kill leaves, `remove_unfinished` finds.

    Args:
        path: The file; made with its folder where it is not there.
        is_private: Nobody but the owner may ever read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: that file only its owner may read, where the umask should decide as for any other file.
    temporary = path.with_name(f".{_beginning(path.name)}.{uuid.uuid4().hex}")
    try:
        if is_private:
            temporary.touch(mode=0o600, exist_ok=False)
        yield temporary
        fsync_path(temporary)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:  # a full disk names no file
            error.filename = str(path)
        raise
    fsync_path(path.parent)


def _beginning(name: str) -> str:
    """Returns so much of a name that a file system that takes it takes a longer one, too."""
    return os.fsencode(name)[:_MOST_BYTES].decode(errors="ignore") if len(os.fsencode(name)) > _MOST_BYTES else name


def write_atomically(path: Path, content: bytes, *, is_private: bool = False) -> None:
    """Writes these bytes as `written_whole` does."""
    with written_whole(path, is_private=is_private) as temporary:
        temporary.write_bytes(content)


def append_whole(path: Path, content: bytes, *, flushes: bool = False) -> int:
    """Appends to a file in a single write and returns where the content begins; one process at a time may append.

    Args:
        path: The file; made with its folder where it is not there.
        content: What to append.
        flushes: Also wait until it is on the disk.

    Raises:
        OSError: The disk is full, or it is no file. The file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_to_append(path) as file:
        start = os.fstat(file.fileno()).st_size
        is_whole = False
        try:
            is_whole = os.write(file.fileno(), content) == len(content)
            if flushes:
                os.fsync(file.fileno())
        finally:
            if not is_whole:
                file.truncate(start)
    if not is_whole:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return start


def remove_unfinished(folder: Path, *, is_sole_owner: bool = False) -> None:
    """Removes what `written_whole` left in a folder, not deeper, when its process was killed.

    Args:
        folder: It need not be there.
        is_sole_owner: Whether nobody else can be writing there, by a lock that the caller holds; otherwise what is
            younger than `UNFINISHED_SECONDS` stays.
    """
    for path in folder.glob(".*"):
        is_temporary = re.fullmatch(r"\..+\.[0-9a-f]{32}", path.name) is not None
        with suppress(FileNotFoundError):  # another process may just give it its name
            if is_temporary and (is_sole_owner or age_seconds(path) > UNFINISHED_SECONDS):
                path.unlink()


def fsync_path(path: Path) -> None:
    """Waits until a file's bytes, whoever wrote them, or what was renamed in a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_tree(folder: Path) -> None:
    """Waits until a folder is on the disk with all that lies in it; what links point at is left."""
    for path in [*folder.rglob("*"), folder]:
        if not path.is_symlink():
            fsync_path(path)
