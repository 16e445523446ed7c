"""Probabilities on disk, by case, and what each was made from; a case that is whole is not predicted again.

On disk, in `nnunet_assets/probabilities/` of a model:

    fold_k/CASE.npz             `probabilities`, float32 (heads, z, y, x), as `nnUNetv2_train --val --npz` has them, not
                                compressed: what packs badly is written and read several times as fast
    fold_k/probabilities.json   by case, the digest of what they were made from and the SHA-256 of the file
    fold_k/KEPT                 somebody wants them kept

They are as large as `probability_bytes` says, and made again by whoever needs them: without KEPT they are removed.
"""

import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import read_json, write_json_atomically
from nnunet_assets.core.files.layout import Experiment, Roots

MANIFEST = "probabilities.json"
KEPT = "KEPT"
PART = ".part"

HEADER_BYTES = 1024
"""More than what stands beside the numbers in a file."""


class ProbabilityStore:
    """The probabilities of the validation cases of one fold.

    Args:
        folder: `fold_k`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    @classmethod
    def of(cls, experiment: Experiment, roots: Roots, fold: str) -> "ProbabilityStore":
        """Returns where those of a fold of an experiment lie, or would lie."""
        return cls(experiment.summary_folder(roots) / "probabilities" / fold)

    def file(self, case: str) -> Path:
        """Returns where the probabilities of a case lie once they are whole."""
        return self.folder / f"{case}.npz"

    def begin(self, wanted: Mapping[str, str]) -> None:
        """Makes room for what is wanted, and keeps what is there of it; every byte of that is read.

        Args:
            wanted: Case to the digest of what its probabilities are to be made from.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        records = self._records()
        kept = {case: record for case, record in records.items() if self._is_whole(case, record, wanted)}
        # First the record: what is not in it is nobody's.
        write_json_atomically(self.folder / MANIFEST, kept)
        for file in self.folder.glob("*.npz*"):
            if file.name.endswith(PART) or file.stem not in kept:
                file.unlink()

    def missing(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """Returns what is not there of what is wanted, as far as the record says."""
        records = self._records()
        return {case: made for case, made in wanted.items() if records.get(case, {}).get("made_from") != made}

    def take(self, case: str, part: Path, made_from: str) -> None:
        """Gives a file that is whole its name, and records it; threads may call it side by side."""
        sha256 = file_sha256(part)
        part.replace(self.file(case))
        with self._lock:
            write_json_atomically(
                self.folder / MANIFEST, {**self._records(), case: {"made_from": made_from, "sha256": sha256}}
            )

    def part(self, case: str) -> Path:
        """Returns where the probabilities of a case are written before they take their name."""
        return self.folder / f"{case}.npz{PART}"

    def keep(self) -> None:
        """Has the probabilities kept, whoever made them."""
        (self.folder / KEPT).touch()

    def remove_unless_kept(self) -> None:
        """Removes everything, unless somebody wants it kept."""
        if not (self.folder / KEPT).exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _records(self) -> dict[str, dict[str, Any]]:
        return dict(read_json(self.folder / MANIFEST) or {})

    def _is_whole(self, case: str, record: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
        """Says whether a recorded case is what is wanted of it, or one that nobody asks for now, and as it was made."""
        if wanted.get(case, record["made_from"]) != record["made_from"]:
            return False
        try:
            return case not in wanted or file_sha256(self.file(case)) == record["sha256"]
        except FileNotFoundError:
            return False


def probability_bytes(n_heads: int, n_voxels: int) -> int:
    """Returns how large the probabilities of a case are, on the disk and in memory."""
    return n_heads * n_voxels * 4 + HEADER_BYTES
