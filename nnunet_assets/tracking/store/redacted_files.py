"""Logs as they may leave the fold's folder: whoever wrote into them may have named credentials."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunet_assets.core.files.regular_file import read_regular
from nnunet_assets.core.text.redaction import redacted

_LOGS = (".log", ".txt")


@contextmanager
def without_credentials(file: Path) -> Iterator[Path]:
    """Yields the file; of a log that holds what looks like a credential, a copy of the same name with that masked."""
    if file.suffix not in _LOGS:
        yield file
        return
    text = read_regular(file).decode(errors="surrogateescape")
    shown = redacted(text)
    if shown == text:
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="nnunet_assets-log-") as folder:
        copy = Path(folder) / file.name
        copy.write_bytes(shown.encode(errors="surrogateescape"))
        yield copy
