"""Results that were made anew: the one before is kept, for what was published of it.

On disk, in `earlier/` beside the result: `NAME-DIGEST.json`, the digest that of its content, cut to 16 digits. A table
names the whole digest, so that what it was made from is found again there.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import parse_json, read_json_bytes, write_json_atomically

EARLIER_FOLDER = "earlier"

MOST_KEPT = 100
"""Of one result; the oldest go first. A summary of 50 cases has 50 kB."""

LARGEST_BYTES = 32 << 20
"""What is larger is not kept: a summary of 5,000 cases with 30 labels, made after each fold, would fill a disk."""

_DIGITS = 16


def write_keeping_earlier(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a result as JSON; one that said something else is kept first, where it can be read."""
    _keep(file, json_sha256(content))
    write_json_atomically(file, content)


def earlier_result_files(file: Path, digest: str | None = None) -> Iterator[Any]:
    """Yields what was kept of the results that once lay in a file, the newest first.

    Args:
        file: Where the result lies now, or lay.
        digest: Only the one of this digest; None: all.
    """
    which = "*" if digest is None else digest[:_DIGITS]
    for path in _newest_first(file, which):
        try:
            content = parse_json(read_json_bytes(path))
        except (OSError, ValueError):  # damaged: it proves nothing
            continue
        if digest in (None, json_sha256(content)):
            yield content


def _keep(file: Path, new: str) -> None:
    try:
        if file.stat().st_size > LARGEST_BYTES:
            return
        content = read_json_bytes(file)
        digest = json_sha256(parse_json(content))
    except (OSError, ValueError):  # none, or a damaged one
        return
    if digest == new:
        return
    write_atomically(file.parent / EARLIER_FOLDER / f"{file.stem}-{digest[:_DIGITS]}.json", content)
    for path in list(_newest_first(file, "*"))[MOST_KEPT:]:
        path.unlink(missing_ok=True)


def _newest_first(file: Path, which: str) -> list[Path]:
    found = [
        (path.stat().st_mtime_ns, path) for path in (file.parent / EARLIER_FOLDER).glob(f"{file.stem}-{which}.json")
    ]
    return [path for _, path in sorted(found, reverse=True)]
