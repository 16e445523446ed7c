"""When a fold is finished: the manifest of what made it and what it made, and the COMMIT that is written last.

On disk, in `fold_k/.nnunet_assets/`: `manifest.json` (inputs, versions, device, times, checksums of the results) and
`COMMIT` (the SHA-256 of that manifest). A fold is finished if and only if its COMMIT verifies.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.layout import OWN_FOLDER
from nnunet_assets.core.provenance import file_sha256, write_json_atomically

FINAL_CHECKPOINT, BEST_CHECKPOINT = "checkpoint_final.pth", "checkpoint_best.pth"
RESULT_FILES = (FINAL_CHECKPOINT, "validation/summary.json")
"""What a finished fold holds and its manifest vouches for, relative to the fold's folder."""

SCHEMA = 1

COMMIT_FILE = "COMMIT"
"""Written last, in the fold's hidden folder."""

UNKNOWN = "unknown"
"""In place of a digest that nothing proves: of a fold that was trained elsewhere."""


@dataclass(frozen=True)
class FoldInputs:
    """What a fold is made from, as digests; two folds may be averaged only where all of them are equal.

    Attributes:
        raw_hash: Content of the raw dataset.
        plans_hash: The plans file.
        splits_hash: The splits file.
        training_hash: Trainer, configuration and overrides.
    """

    raw_hash: str
    plans_hash: str
    splits_hash: str
    training_hash: str

    def differences(self, other: "FoldInputs") -> list[str]:
        """Names the inputs in which the two differ: `raw data`, `plans`, `splits`, `training settings`.

        What is unknown of one of them only may be the same, and is named as unknown.
        """
        names = {
            "raw_hash": "raw data",
            "plans_hash": "plans",
            "splits_hash": "splits",
            "training_hash": "training settings",
        }
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{text} (unknown of one)" if UNKNOWN in (mine[field], theirs[field]) else text
            for field, text in names.items()
            if mine[field] != theirs[field]
        ]


@dataclass(frozen=True)
class Manifest:
    """What made a finished fold, and what it made.

    Attributes:
        fold: `fold_0` ...
        inputs: What it was made from.
        versions: Package name to version.
        device: `cpu`, or the name of the GPU.
        seconds: Wall time by section: `training` (all epochs, whatever interrupted them) and `validation`.
        n_epochs: Epochs trained.
        peak_memory_bytes: By kind (`host`, `gpu`); a kind that does not apply is absent.
        files: Path relative to the fold's folder, to SHA-256.
        details: What a person may ask later (host, process, start and end as ISO 8601 in UTC, overrides).
    """

    fold: str
    inputs: FoldInputs
    versions: Mapping[str, str]
    device: str
    seconds: Mapping[str, float]
    n_epochs: int
    peak_memory_bytes: Mapping[str, int]
    files: Mapping[str, str]
    details: Mapping[str, Any]

    @property
    def gpu_hours(self) -> float | None:
        """GPUs times hours of training and validation, while held; None: on another device, or not known."""
        # Of an adopted fold nobody knows how many GPUs it had.
        if self.is_adopted or self.device in ("cpu", "mps"):
            return None
        n_gpus = self.details.get("options", {}).get("num_gpus", 1)
        return float(n_gpus * sum(self.seconds.values()) / 3600)

    @property
    def is_adopted(self) -> bool:
        """Whether the fold was trained elsewhere, so that only what its files prove is known."""
        return "adopted" in self.details

    @property
    def validated(self) -> str:
        """The checkpoint that predicted the validation cases; of an adopted fold nobody knows it."""
        if self.is_adopted:
            return UNKNOWN
        return validated_checkpoint(val_best=bool(self.details.get("options", {}).get("val_best")))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Manifest":
        """Reads what `commit_fold` wrote.

        Raises:
            ValueError: It has another schema, or is not a manifest.
        """
        if content.get("schema") != SCHEMA:
            raise ValueError(f"schema {content.get('schema')!r}, where {SCHEMA} is read")
        try:
            values = {key: value for key, value in content.items() if key != "schema"}
            return cls(**{**values, "inputs": FoldInputs(**content["inputs"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a manifest: {error}") from error


def validated_checkpoint(*, val_best: bool) -> str:
    """Returns the checkpoint that predicts the validation cases of a fold that is trained here."""
    return BEST_CHECKPOINT if val_best else FINAL_CHECKPOINT


def commit_fold(fold_folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, then the COMMIT that makes the fold finished."""
    own = fold_folder / OWN_FOLDER
    write_json_atomically(own / "manifest.json", {"schema": SCHEMA, **asdict(manifest)})
    write_json_atomically(own / COMMIT_FILE, {"manifest_sha256": file_sha256(own / "manifest.json")})


def read_committed(fold_folder: Path, *, check_files: bool = False) -> Manifest | None:
    """Returns the manifest of a finished fold, or None where the fold is not finished.

    A fold whose result files are gone, or whose `summary.json` is not the committed one, is not finished either.

    Args:
        check_files: Also reads the checkpoints, which takes about 0.6 s a gigabyte.
    """
    own = fold_folder / OWN_FOLDER
    try:
        commit = json.loads((own / COMMIT_FILE).read_text())
        if commit["manifest_sha256"] != file_sha256(own / "manifest.json"):
            return None
        manifest = Manifest.from_json(json.loads((own / "manifest.json").read_text()))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    for name, sha256 in manifest.files.items():
        file = fold_folder / name
        if not file.is_file() or ((check_files or file.suffix == ".json") and file_sha256(file) != sha256):
            return None
    return manifest


def commit_sha256(fold_folder: Path) -> str:
    """Returns the digest that names a finished fold: the SHA-256 of its manifest."""
    return file_sha256(fold_folder / OWN_FOLDER / "manifest.json")
