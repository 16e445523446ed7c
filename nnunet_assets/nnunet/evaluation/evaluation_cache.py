"""What was computed of each case is kept, under the digests of its two files, of the policy and of the reader.

On disk, `kept_cases.jsonl`: one line a case, appended as soon as it is known, so that a kill costs the cases under way
and no other. A line that a kill tore is passed over. A case is known again without opening a file where size, times
and inode of both are those of its line, from a time when a later change had to show in them (`digests`), and without
reading a voxel where their digests are; so copies, moved folders and touched files are known too.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.evaluation.label_totals import Metrics
from nnunet_assets.core.files.atomic_files import append_whole, written_whole
from nnunet_assets.core.files.digests import FileStat, file_sha256, json_sha256, now_ns, stat_of
from nnunet_assets.core.files.json_file import OTHER_FORM
from nnunet_assets.core.files.regular_file import open_regular, refuse_what_never_ends
from nnunet_assets.errors import EvaluationError

KEPT_FILE = "kept_cases.jsonl"

Stat = tuple[int, ...]
"""Size, time of change of the content and of the entry in ns, inode; then the same of each file beside it."""

_ABSENT = FileStat(-1, -1, -1, -1)
"""In place of these, of a file beside another that is not there: when it comes, it counts."""

CaseKey = tuple[str | None, str]
"""Fold and case."""


@dataclass(frozen=True)
class FilePair:
    """A case's files as they were before they were read.

    Attributes:
        stats: Of the reference and of the prediction.
        sha256: Likewise.
        is_settled: Whether a change since then shows in the stats; see `digests`.
    """

    stats: tuple[Stat, Stat]
    sha256: tuple[str, str]
    is_settled: bool


def file_stat(path: Path, beside: Sequence[Path] = ()) -> Stat:
    """Returns what changes when a file, or one beside it, is written, replaced or touched.

    Args:
        path: The file.
        beside: Those from which the reader takes numbers of it (`companion_files`); they need not be there.

    Raises:
        OSError: There is no such file.
    """
    stat: Stat = stat_of(path)
    for other in beside:
        try:
            stat += stat_of(other)
        except OSError:
            stat += _ABSENT
    return stat


def file_pair(
    reference: Path,
    prediction: Path,
    beside: tuple[Sequence[Path], Sequence[Path]] = ((), ()),
) -> FilePair:
    """Returns what names the two files, with those beside each, read once for their digests.

    Raises:
        OSError: One of the two cannot be read.
    """
    looked_at_ns = now_ns()
    stats = file_stat(reference, beside[0]), file_stat(prediction, beside[1])
    return FilePair(
        stats,
        (_sha256(reference, beside[0]), _sha256(prediction, beside[1])),
        is_settled=all(_is_settled(stat, looked_at_ns) for stat in stats),
    )


def _is_settled(stat: Stat, looked_at_ns: int) -> bool:
    files = (FileStat(*stat[start : start + len(_ABSENT)]) for start in range(0, len(stat), len(_ABSENT)))
    return all(file.is_settled(looked_at_ns) for file in files)


def _sha256(path: Path, beside: Sequence[Path]) -> str:
    there = [[index, file_sha256(other)] for index, other in enumerate(beside) if other.is_file()]
    return json_sha256([file_sha256(path), there]) if there else file_sha256(path)


class KeptCases:
    """The cases that were evaluated before, in one folder, by one policy and one of nnU-Net's readers.

    In memory are the digests and where each line begins; the metrics are read when they are asked for. `add` is for
    one thread, while others may look for content.
    """

    def __init__(self, folder: Path, policy_digest: str, reader: str) -> None:
        self._file = folder / KEPT_FILE
        self._policy_digest = json_sha256([policy_digest, reader])
        self._by_case: dict[CaseKey, tuple[FilePair, int]] = {}
        self._by_content: dict[tuple[str, str], int] = {}
        self._n_lines = 0
        if self._file.is_file():
            self._read()

    def is_known(self, key: CaseKey, stats: tuple[Stat, Stat]) -> bool:
        """Whether the case's files have certainly not been touched since they were evaluated.

        Of others their content decides (`same_content`); so it does of what a version kept that did not say when it
        had looked at the files.
        """
        entry = self._by_case.get(key)
        return entry is not None and entry[0].is_settled and entry[0].stats == stats

    def same_content(self, pair: FilePair) -> Mapping[str, Metrics] | None:
        """Returns the metrics of files with this content, whatever case's; None: there are none."""
        start = self._by_content.get(pair.sha256)
        return None if start is None else self._metrics_at(start)

    def metrics(self, key: CaseKey) -> Mapping[str, Metrics]:
        """Returns the metrics of a case that is known or was added, by label name."""
        return self._metrics_at(self._by_case[key][1])

    def add(self, key: CaseKey, pair: FilePair, metrics: Mapping[str, Metrics]) -> None:
        """Keeps a case.

        Raises:
            EvaluationError: The disk is full, or the file may not be written. What was kept before stands.
        """
        fold, case = key
        entry = {"policy": self._policy_digest, "fold": fold, "case": case, **asdict(pair)}
        line = json.dumps({**entry, "labels": metrics}, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            start = append_whole(self._file, line)
        except OSError as error:
            raise EvaluationError(
                f"What is computed cannot be written to {self._file}: {error.strerror}. Make room, or let the folder "
                "be written, and evaluate again; the cases before this one are not computed anew."
            ) from error
        self._index(key, pair, start)

    def forget_others(self, wanted: set[CaseKey]) -> None:
        """Drops what no wanted case needs, where that is more than half of the file; the last call on this object."""
        kept = sorted(start for key, (_, start) in self._by_case.items() if key in wanted)
        if self._n_lines <= 2 * len(kept):
            return
        with written_whole(self._file) as part, self._file.open("rb") as old, part.open("wb") as new:
            for start in kept:
                old.seek(start)
                new.write(old.readline())

    def _read(self) -> None:
        refuse_what_never_ends(self._file)
        with self._file.open("rb+") as file:
            start = 0
            for line in file:
                if not line.endswith(b"\n"):  # torn: the next line must not continue it
                    file.truncate(start)
                    break
                self._read_line(line, start)
                start += len(line)

    def _read_line(self, line: bytes, start: int) -> None:
        self._n_lines += 1
        try:
            entry: dict[str, Any] = json.loads(line)
            if entry["policy"] == self._policy_digest:
                stats = tuple(map(tuple, entry["stats"]))
                pair = FilePair((stats[0], stats[1]), tuple(entry["sha256"]), entry.get("is_settled", False))
                self._index((entry["fold"], entry["case"]), pair, start, is_new=False)
        except OTHER_FORM:
            return

    def _index(self, key: CaseKey, pair: FilePair, start: int, *, is_new: bool = True) -> None:
        self._n_lines += is_new
        self._by_case[key] = (pair, start)
        self._by_content[pair.sha256] = start

    def _metrics_at(self, start: int) -> Mapping[str, Metrics]:
        with open_regular(self._file) as file:
            file.seek(start)
            metrics: Mapping[str, Metrics] = json.loads(file.readline())["labels"]
        return metrics
