"""A file that is written piece by piece and is whole or absent all the same; small ones have `write_atomically`."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunet_assets.core.provenance import fsync_folder


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
