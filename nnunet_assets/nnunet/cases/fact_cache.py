"""What was read of each case, kept for as long as its files, the declared labels and the check's code are the same.

On disk one JSON file: `made_by` says what the facts depend on beside the files, `cases` has by case name the stats of
its files and the facts. It is replaced as a whole, every few seconds while cases are read, so that an interrupted look
loses no more than those. A file that is torn, from another version, or of another form counts as empty: it only saves
time.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset import intake, intensity_rules
from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import FileStat, json_sha256, now_ns, stat_of
from nnunet_assets.core.files.json_file import UNREADABLE, readable_json
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.nnunet.cases import case_check, reader_check
from nnunet_assets.nnunet.cases.case_check import CaseFacts, case_paths
from nnunet_assets.nnunet.images import (
    case_geometry,
    companion_files,
    header_check,
    nifti,
    nonzero_box,
    other_formats,
    personal_data,
    reader_placement,
    reader_voxels,
    voxel_extremes,
    voxel_statistics,
)
from nnunet_assets.nnunet.images.companion_files import case_companions

FLUSH_SECONDS = 5.0

_CODE = (
    *(case_check, case_geometry, companion_files, header_check, intake, intensity_rules, nifti, nonzero_box),
    *(other_formats, personal_data, reader_check, reader_placement, reader_voxels, voxel_extremes, voxel_statistics),
)
_PASSING = frozenset({"D050", "D051", "D053"})
"""Findings that may be gone the next time although no file changed: there was less memory, or it was being written, or
could not be read."""

Stats = list[tuple[str, FileStat | None]]
"""Path and stat of each file of a case, and of those beside them; None: there is no such file."""


class FactCache:
    """The facts of one dataset's cases.

    Args:
        path: The file; made when the first facts are kept.
        rehash: Read every file anew, whatever the file system says; the facts are kept all the same.
    """

    def __init__(self, path: Path, *, rehash: bool = False) -> None:
        self._path = path
        self._rehash = rehash
        self._made_by = ""
        self._reader: str | None = None
        self._entries: dict[str, Any] = {}
        self._is_changed = False
        self._flushed = time.monotonic()

    def open(self, description: DatasetDescription, reader: str | None) -> None:
        """Loads what was kept for a dataset of these labels and this reader."""
        self._made_by, self._reader = _made_by(description, reader), reader
        content = readable_json(self._path)
        is_ours = content.get("made_by") == self._made_by
        self._entries = content.get("cases", {}) if is_ours and not self._rehash else {}

    def known(self, files: CaseFiles) -> CaseFacts | None:
        """Returns the facts of a case whose files are as they were; None: read them."""
        entry = self._entries.get(files.case)
        if entry is None:
            return None
        try:
            is_same = entry["stats"] == _as_json(stats_of(files, self._reader))
            return dataclass_from_json(CaseFacts, json.dumps(entry["facts"])) if is_same else None
        except UNREADABLE:
            return None

    def keep(self, files: CaseFiles, stats: Stats, looked_at_ns: int, facts: CaseFacts) -> None:
        """Keeps facts, unless a change of the files since they were looked at might not show.

        Args:
            stats: Of the files, from before they were read.
            looked_at_ns: When the stats were taken.
        """
        is_passing = any(finding.code in _PASSING for finding in facts.findings)
        if is_passing or not all(stat is None or stat.is_settled(looked_at_ns) for _, stat in stats):
            self._is_changed |= self._entries.pop(files.case, None) is not None
            return
        self._entries[files.case] = {"stats": _as_json(stats), "facts": asdict(facts)}
        self._is_changed = True
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was kept since the last time."""
        if self._is_changed:
            content = {"made_by": self._made_by, "cases": self._entries}
            write_atomically(self._path, json.dumps(content, allow_nan=False).encode())
        self._is_changed, self._flushed = False, time.monotonic()

    def forget_others(self, cases: Iterable[str]) -> None:
        """Drops the cases that the dataset has no more."""
        for gone in self._entries.keys() - set(cases):
            del self._entries[gone]
            self._is_changed = True


def stats_of(files: CaseFiles, reader: str | None) -> Stats:
    """Returns the stats of a case's files and of those beside them from which the reader takes numbers.

    Raises:
        OSError: One of the case's own is not there.
    """
    stats: Stats = [(str(path), stat_of(path)) for path in case_paths(files)]
    for one in case_companions(files, reader):
        try:
            stats.append((str(one.path), stat_of(one.path)))
        except OSError:  # when it comes, the case is another
            stats.append((str(one.path), None))
    return stats


def look_at(files: CaseFiles, reader: str | None) -> tuple[Stats, int]:
    """Returns the stats of a case's files, and the time from which on a change of them must show; for `keep`.

    Without a file that is gone, which whoever reads the case will name.
    """
    looked_at_ns = now_ns()
    with suppress(FileNotFoundError):
        return stats_of(files, reader), looked_at_ns
    return [], looked_at_ns


def _made_by(description: DatasetDescription, reader: str | None) -> str:
    """Returns the digest of what the facts depend on beside the files."""
    code = hashlib.sha256(b"".join(Path(str(module.__file__)).read_bytes() for module in _CODE)).hexdigest()
    libraries = {name: version(name) for name in ("nibabel", "nnunetv2", "numpy", "SimpleITK", "tifffile")}
    of_dataset = [len(description.channel_names), description.voxel_values, description.file_ending, reader]
    return json_sha256([code, libraries, *of_dataset])


def _as_json(stats: Stats) -> list[list[Any]]:
    return [[path, stat and list(stat)] for path, stat in stats]
