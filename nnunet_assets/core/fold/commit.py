"""When a fold is finished: the manifest of what made it and what it made, and the COMMIT that is written last.

On disk, in `fold_k/.nnunet_assets/`: `manifest.json` (inputs, versions, device, times, checksums of the results) and
`COMMIT` (the SHA-256 of that manifest). A fold is finished if and only if its COMMIT verifies.

A fold is its checkpoint, byte by byte, and the scores of its validation cases: those, not the bytes of
`validation/summary.json`, in which paths stand, and which a validation that is run again (`nnUNetv2_train --val --npz`)
writes anew. Manifests of schema 1 vouch for the bytes only; there what else was recorded of the scores may show that
they are the same (see `recorded_scores`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import FileStat, file_sha256, now_ns, stat_of
from nnunet_assets.core.files.json_file import OTHER_FORM, load_json, parse_json, read_json_bytes, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.members import changed_members
from nnunet_assets.core.fold.recorded_scores import are_recorded
from nnunet_assets.core.fold.version_history import mixed_versions
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, file_name_of, scores_digest

FINAL_CHECKPOINT, BEST_CHECKPOINT = "checkpoint_final.pth", "checkpoint_best.pth"
RESULT_FILES = (FINAL_CHECKPOINT, SUMMARY_FILE)
"""What a finished fold holds and its manifest vouches for, relative to the fold's folder."""

SCHEMA = 2
OLDER_SCHEMAS = (1,)
"""Also read: 1 has no digest of the scores."""

MANIFEST_FILE, COMMIT_FILE = "manifest.json", "COMMIT"
"""In the fold's hidden folder; COMMIT is written last."""

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
        scores: Digest of the scores of the validation cases, see `score_digest`; None: of schema 1, or not readable.
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
    scores: str | None = None

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
    def mixed_versions(self) -> dict[str, list[str]]:
        """The packages of which it had more than one version, in order; of an older one nobody noted it."""
        return mixed_versions(self.details.get("stages", []))

    def versions_of(self, name: str) -> list[str]:
        """Returns the versions of a package that it was made under, in order; none where they are not known."""
        return self.mixed_versions.get(name) or ([self.versions[name]] if name in self.versions else [])

    @property
    def validated(self) -> str:
        """The checkpoint that predicted the validation cases; of an adopted fold nobody knows it."""
        if self.is_adopted:
            return UNKNOWN
        return validated_checkpoint(val_best=bool(self.details.get("options", {}).get("val_best")))

    def has_same_result(self, other: "Manifest") -> bool:
        """Whether both are of one training, validated alike by the same programs with the same scores."""
        mine, theirs = (
            (one.fold, one.inputs, one.versions, one.files.get(FINAL_CHECKPOINT), one.validated, one.n_epochs)
            for one in (self, other)
        )
        if mine != theirs:
            return False
        if self.scores is None or other.scores is None:  # of schema 1, which vouches for the bytes
            return SUMMARY_FILE in self.files and self.files[SUMMARY_FILE] == other.files.get(SUMMARY_FILE)
        return self.scores == other.scores

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Manifest":
        """Reads what `commit_fold` wrote.

        Raises:
            ValueError: It has another schema, or is not a manifest.
        """
        if not isinstance(content, Mapping):
            raise ValueError("not a manifest: no object")  # noqa: TRY004 (what is read is wrong, not a call)
        if content.get("schema") not in (SCHEMA, *OLDER_SCHEMAS):
            raise ValueError(f"schema {content.get('schema')!r}, where {SCHEMA} and older are read")
        try:
            values = {key: value for key, value in content.items() if key != "schema"}
            manifest = cls(**{**values, "inputs": FoldInputs(**content["inputs"])})
            return _without_paths(manifest) if content["schema"] == 1 and manifest.is_adopted else manifest
        except OTHER_FORM as error:
            raise ValueError(f"not a manifest: {error}") from error


@dataclass(frozen=True)
class FinishedFold:
    """A finished fold, by what its COMMIT vouches for and was found to be so.

    Attributes:
        folder: nnU-Net's `fold_k`.
        manifest: What made it.
        sha256: What names the finished fold: the SHA-256 of its manifest.
        committed_ns: When the COMMIT was written. A validation that is run again with the same result ends with the
            same manifest, and a COMMIT of its own.
        summary: nnU-Net's summary.json, with the committed scores; None: it was validated on nothing.
        checked: The files of which every byte was read, as the file system had them before.
    """

    folder: Path
    manifest: Manifest
    sha256: str
    committed_ns: int
    summary: bytes | None = field(default=None, repr=False)
    checked: Mapping[str, FileStat] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(
        cls, fold_folder: Path, *, check_files: bool = False, known: "FinishedFold | None" = None
    ) -> "FinishedFold | None":
        """Returns the finished fold in a folder; None where it is not finished.

        A fold whose result files are gone, or whose `summary.json` holds other scores than the committed ones, is not
        finished either; nor is one of an ensemble of which a member was trained or validated again.

        Args:
            fold_folder: nnU-Net's `fold_k`.
            check_files: Also reads the checkpoints, which takes about 0.6 s a gigabyte.
            known: The fold as it was read before. A checkpoint of which every byte was read then, and that is the same
                file to the file system, is not read again.
        """
        own = fold_folder / OWN_FOLDER
        try:
            commit = load_json(own / COMMIT_FILE)
            committed_ns = (own / COMMIT_FILE).stat().st_mtime_ns
            content = read_json_bytes(own / MANIFEST_FILE)
            sha256 = hashlib.sha256(content).hexdigest()
            manifest = Manifest.from_json(parse_json(content))
            if commit["manifest_sha256"] != sha256 or changed_members(fold_folder, manifest.details, commit_sha256):
                return None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None
        summary, checked = None, {}
        for name, wanted in manifest.files.items():
            file = fold_folder / name
            if not file.is_file():
                return None
            if name == SUMMARY_FILE:
                summary = file.read_bytes()
                if not has_committed_scores(fold_folder, manifest, summary, sha256):
                    return None
            elif check_files or file.suffix == ".json":
                before = known and known.manifest.files.get(name) == wanted and known.checked.get(name)
                stat, looked_at = stat_of(file), now_ns()
                if before != stat and file_sha256(file) != wanted:
                    return None
                if stat.is_settled(looked_at):
                    checked[name] = stat
        return cls(fold_folder, manifest, sha256, committed_ns, summary, checked)

    @property
    def commit(self) -> tuple[str, int]:
        """What tells one COMMIT from the next."""
        return self.sha256, self.committed_ns

    @property
    def scores(self) -> str | None:
        """The digest of the scores; None: it was validated on nothing."""
        return None if self.summary is None else self.manifest.scores or scores_digest(self.summary)


def validated_checkpoint(*, val_best: bool) -> str:
    """Returns the checkpoint that predicts the validation cases of a fold that is trained here."""
    return BEST_CHECKPOINT if val_best else FINAL_CHECKPOINT


def commit_fold(fold_folder: Path, manifest: Manifest) -> None:
    """Writes the manifest, then the COMMIT that makes the fold finished."""
    own = fold_folder / OWN_FOLDER
    write_manifest(own, manifest)
    write_commit(own)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes a manifest into a folder, which is the fold's hidden one, or becomes a part of it."""
    write_json_atomically(folder / MANIFEST_FILE, {"schema": SCHEMA, **asdict(manifest)})


def write_commit(folder: Path) -> None:
    """Writes the COMMIT of the manifest that lies in the folder already."""
    write_json_atomically(folder / COMMIT_FILE, {"manifest_sha256": file_sha256(folder / MANIFEST_FILE)})


def read_committed(fold_folder: Path, *, check_files: bool = False) -> Manifest | None:
    """Returns the manifest of a finished fold, or None where the fold is not finished; see `FinishedFold.read`."""
    found = FinishedFold.read(fold_folder, check_files=check_files)
    return found.manifest if found else None


def has_committed_scores(fold_folder: Path, manifest: Manifest, content: bytes, sha256: str) -> bool:
    """Says whether a summary.json holds the scores that the fold was committed with.

    Args:
        fold_folder: nnU-Net's `fold_k`, which may hold other records of the scores.
        manifest: Of the fold.
        content: The summary.json.
        sha256: What names the fold, see `FinishedFold`.
    """
    if hashlib.sha256(content).hexdigest() == manifest.files.get(SUMMARY_FILE):
        return True
    if manifest.scores is not None:
        return scores_digest(content) == manifest.scores
    if SUMMARY_FILE not in manifest.files:
        return False
    return are_recorded(fold_folder, content, manifest.details.get("validation_cases", []), sha256)


def scores_on_disk(fold_folder: Path) -> str | None:
    """Returns the digest of a finished fold's scores; None: it is not finished, or was validated on nothing."""
    found = FinishedFold.read(fold_folder)
    return found.scores if found else None


def _without_paths(manifest: Manifest) -> Manifest:
    """Returns the manifest with case ids that a version before took for whole paths: of a fold from Windows."""
    of_windows = re.compile(r"[A-Za-z]:|\\\\|(?:.*\\)?validation\\")
    cases = [file_name_of(case) if of_windows.match(case) else case for case in manifest.details["validation_cases"]]
    return replace(manifest, details={**manifest.details, "validation_cases": cases})


def commit_sha256(fold_folder: Path) -> str:
    """Returns the digest that names a fold that is finished, whether its COMMIT verifies or not; see `FinishedFold`."""
    return file_sha256(fold_folder / OWN_FOLDER / MANIFEST_FILE)
