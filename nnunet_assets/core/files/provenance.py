"""Digests that say what a thing was made from, and files that are either whole or absent."""

import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """Returns the SHA-256 of a JSON value, the same whatever the order of its keys and the spaces in its file.

    NaN counts as itself: nnU-Net writes it into the plans of a dataset whose cases have no foreground.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_atomically(path: Path, content: bytes, *, is_private: bool = False) -> None:
    """Writes a file that a reader, or a machine that loses power, sees whole or not at all.

    The bytes go to a temporary file beside it, are flushed to the disk, and take the name by a rename.

    Args:
        path: The file; made with its folder where it is not there.
        content: Its bytes.
        is_private: Nobody but the owner may ever read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: that file only its owner may read, where the umask should decide as for any other file.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        if is_private:
            temporary.touch(mode=0o600, exist_ok=False)
        with temporary.open("wb" if is_private else "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say what it was full for
            error.filename = str(path)
        raise
    fsync_folder(path.parent)


def remove_unfinished(folder: Path, older_than_seconds: float = 5) -> None:
    """Removes what `write_atomically` left in a folder when its process was killed.

    Args:
        folder: The folder; what lies deeper stays.
        older_than_seconds: A younger one may still be written.
    """
    for path in folder.glob(".*"):
        is_temporary = re.fullmatch(r"\..+\.[0-9a-f]{32}", path.name) is not None
        with suppress(FileNotFoundError):  # another process may just give it its name
            if is_temporary and time.time() - path.stat().st_mtime > older_than_seconds:
                path.unlink()


def write_json_atomically(path: Path, value: Mapping[str, Any] | list[Any]) -> None:
    """Writes JSON, indented for people, as `write_atomically` does; NaN is refused, since JSON has none."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text.encode())


def fsync_folder(folder: Path) -> None:
    """Makes a rename in the folder survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
