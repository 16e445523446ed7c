"""The journal of a fold: one line an event, appended and checked, that tracking and progress read while it grows.

On disk: `fold_k/.nnunet_assets/journal.jsonl`, each line a CRC-32 and its JSON. A line that is cut or damaged ends the
reading: what a crash left half-written is never taken for a record. Kinds: `start` (parameters), `epoch` (one value a
series), `end` (validation results). Missing values are `null`, since JSON has no NaN.
"""

import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.clock import now_ms
from nnunet_assets.core.files.atomic_files import append_whole, write_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.files.regular_file import open_regular, read_regular

_TAIL_BYTES = 1 << 20
"""More than a line has, even with the parameters of a training."""
_SHORT_TAIL_BYTES = 1 << 12
"""More than most lines have."""

Kind = Literal["start", "epoch", "end"]


@dataclass(frozen=True)
class Record:
    """One journal line.

    Attributes:
        kind: `start`, `epoch` or `end`.
        time_ms: When it was written, in milliseconds since 1970-01-01 UTC; the time stamp that tracking uses, so
            that a record sent twice is the same record. It grows from record to record, whatever is done to the clock.
        epoch: Zero-based epoch of an `epoch` record; None for the other kinds.
        values: Series name to number (None: undefined) for `epoch` and `end`, any JSON for `start`.
    """

    kind: Kind
    time_ms: int
    epoch: int | None
    values: Mapping[str, Any]


def journal_path(fold_folder: Path) -> Path:
    """Returns where a fold's journal lies."""
    return fold_folder / OWN_FOLDER / "journal.jsonl"


def append_record(
    path: Path, kind: Kind, values: Mapping[str, Any], epoch: int | None = None, *, flushes: bool = True
) -> None:
    """Appends one record in a single write; one process at a time may append.

    Args:
        path: The journal.
        kind: Of the record, as its values and epoch are.
        values: See `Record`.
        epoch: See `Record`.
        flushes: Also wait until it is on the disk: a machine that loses its power keeps it then, too.

    Raises:
        OSError: The disk is full. The journal is as it was: a cut line would hide all that is appended after it.
    """
    append_whole(path, _line(Record(kind, max(now_ms(), _last_ms(path) + 1), epoch, values)), flushes=flushes)


def last_epoch(path: Path) -> Record | None:
    """Returns the last whole `epoch` record, looked for from the journal's end; None: there is none near it."""
    found = filter(None, map(_parse, reversed(_last_lines(path))))
    return next((record for record in found if record.kind == "epoch"), None)


def _last_ms(path: Path) -> int:
    """Returns the time of a journal's last record, which may be of a process before the clock was set; else 0."""
    lines = _last_lines(path, _SHORT_TAIL_BYTES)
    # The first of them may be the end of one.
    lines = lines if len(lines) > 2 else _last_lines(path)
    records = filter(None, map(_parse, lines[-2:]))
    return max((record.time_ms for record in records), default=0)


def _last_lines(path: Path, n_bytes: int = _TAIL_BYTES) -> list[bytes]:
    try:
        with open_regular(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - n_bytes))
            return file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return []


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Writes a whole journal, in place of what is there."""
    write_atomically(path, b"".join(map(_line, records)))


def read_records(path: Path, start: int = 0) -> Iterator[Record]:
    """Yields the whole records from the `start`-th on; stops before the first line that is cut or damaged.

    No journal yet yields nothing.
    """
    for line in _lines(path)[start:]:
        record = _parse(line)
        if record is None:
            return
        yield record


def _lines(path: Path) -> list[bytes]:
    try:
        return read_regular(path).splitlines(keepends=True)
    except FileNotFoundError:
        return []


def saved_epochs_path(fold_folder: Path) -> Path:
    """Returns where it stands how many epochs a checkpoint holds; no file: nobody notes it."""
    return fold_folder / OWN_FOLDER / "saved_epochs"


def n_saved_epochs(fold_folder: Path) -> int | None:
    """Returns how many epochs a checkpoint holds; None: nobody notes it, or what is there is no number."""
    try:
        return int(read_regular(saved_epochs_path(fold_folder)))
    except (FileNotFoundError, ValueError):
        return None


def settled_records(fold_folder: Path) -> list[Record]:
    """Returns the records that stay: an epoch that no checkpoint holds yet is trained again after a kill."""
    n_saved = n_saved_epochs(fold_folder)
    return settled(read_records(journal_path(fold_folder)), n_saved)


def settled(records: Iterable[Record], n_saved: int | None) -> list[Record]:
    """Returns those of the records that stay, given how many epochs a checkpoint held before they were read."""
    return [record for record in records if record.epoch is None or n_saved is None or record.epoch < n_saved]


def readable_until_epoch(path: Path, n_epochs: int) -> tuple[list[Record], int]:
    """Returns the records before that of epoch `n_epochs` and the end, damaged lines left out.

    Returns:
        The records, and how many of the epochs the damaged lines have cost.
    """
    kept: list[Record] = []
    n_damaged = 0
    for line in _lines(path):
        record = _parse(line)
        if record is None:
            n_damaged += 1
            continue
        if record.kind == "end" or (record.epoch is not None and record.epoch >= n_epochs):
            break
        kept.append(record)
    missing = set(range(n_epochs)) - {record.epoch for record in kept}
    return kept, min(len(missing), n_damaged)


def truncate_after_epoch(path: Path, n_epochs: int) -> None:
    """Drops `epoch` records of epoch >= `n_epochs` and what follows: a resumed fold journals each epoch once."""
    write_records(path, readable_until_epoch(path, n_epochs)[0])


def _line(record: Record) -> bytes:
    content = {**asdict(record), "values": _finite(record.values)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _parse(line: bytes) -> Record | None:
    if not line.endswith(b"\n") or len(line) <= 10:
        return None
    checksum, text = line[:8], line[9:-1]
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    return Record(**json.loads(text))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
