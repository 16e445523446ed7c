"""A raw dataset, looked at once and whole: its cases, its content hash, its statistics and all that is wrong with it.

Reads `nnUNet_raw/DATASET` and never writes there. The voxels of NIfTI files are read here, by nibabel; those of other
formats are left to nnU-Net's own integrity check, which planning runs.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.findings import Finding, Severity, findings_text, refuse_errors
from nnunet_assets.core.provenance import json_sha256
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.case_check import CaseFacts, check_case
from nnunet_assets.nnunet.case_files import CaseFiles, find_cases, voxels_are_checked
from nnunet_assets.nnunet.prepared import RawRecord
from nnunet_assets.nnunet.raw_root import dataset_folder, datasets_of_same_id

WORKERS = 4
"""Cases read at a time, and so images in memory at a time; unpacking and hashing run in parallel, Python does not."""

OnProgress = Callable[[int, int], None]
"""Called with the number of cases done and their total, always from the caller's thread."""


@dataclass(frozen=True)
class Spread:
    """Median and range of a quantity over cases."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Returns the spread of at least one value."""
        return cls(float(np.median(values)), float(min(values)), float(max(values)))


@dataclass(frozen=True)
class LabelStatistics:
    """Where a label occurs.

    Attributes:
        n_cases: Cases with at least one voxel of it.
        volume_ml: Its volume over these cases in millilitres; None where it is in no case.
    """

    n_cases: int
    volume_ml: Spread | None


@dataclass(frozen=True)
class RawDataset:
    """What a raw dataset holds.

    Attributes:
        name: `DatasetXXX_Name`.
        folder: Its folder in nnUNet_raw.
        description: Its dataset.json.
        cases: Names of the training cases, sorted.
        content_hash: SHA-256 over the content of dataset.json and of every image and label, by name; the same wherever
            the folder lies, whatever the files' times and order.
        voxels_checked: Whether the voxels were read; where not, the statistics are None and empty.
        spacing_mm: Voxel size by axis of the file (X, Y, Z; nnU-Net's plans have Z, Y, X); None without readable cases.
        shape: Number of voxels by axis, likewise.
        labels: By foreground label name.
        case_hashes: By case, the digest of its images and label.
        label_volumes_ml: By case and foreground label name, in ml; empty where the voxels were not read.
        findings: All that is wrong, errors and warnings.
    """

    name: str
    folder: Path
    description: DatasetDescription
    cases: tuple[str, ...]
    content_hash: str
    voxels_checked: bool
    spacing_mm: tuple[Spread, ...] | None
    shape: tuple[Spread, ...] | None
    labels: Mapping[str, LabelStatistics]
    case_hashes: Mapping[str, str]
    label_volumes_ml: Mapping[str, Mapping[str, float]]
    findings: tuple[Finding, ...]

    @property
    def record(self) -> RawRecord:
        """What is kept of it for those who split, plan and train."""
        return RawRecord(
            content_hash=self.content_hash,
            cases=self.cases,
            voxels_checked=self.voxels_checked,
            errors=findings_text(self.errors),
            case_hashes=self.case_hashes,
            label_volumes_ml=self.label_volumes_ml,
        )

    @property
    def n_cases(self) -> int:
        """Number of training cases."""
        return len(self.cases)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What stops planning and training."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What its owner should look at."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def refuse_errors(self) -> None:
        """Passes where nothing stops planning and training.

        Raises:
            DatasetError: Something does; the message holds all of it.
        """
        refuse_errors(self.name, self.findings)


def inspect_raw_dataset(
    raw_root: Path, dataset: str, n_folds: int, on_progress: OnProgress | None = None
) -> RawDataset:
    """Reads every file of a raw dataset once and returns what it holds, with all that is wrong.

    Args:
        raw_root: nnU-Net's `nnUNet_raw`.
        dataset: `DatasetXXX_Name`.
        n_folds: Folds of the cross-validation, which the cases must suffice for.
        on_progress: Told about each case; None: nobody is.

    Raises:
        DatasetError: There is no such dataset, or its dataset.json is wrong, so that nothing can be looked at.
    """
    folder = dataset_folder(raw_root, dataset)
    description = parse_dataset_json(folder / DATASET_JSON)
    try:
        cases, findings = find_cases(folder, description)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from None
    facts = _check_cases(cases, folder, description, on_progress)
    names = tuple(files.case for files in cases)
    volumes = _label_volumes(facts, description)
    labels = _label_statistics(volumes)
    if names:
        findings += _count_findings(names, description, n_folds)
    findings += _duplicates(facts)
    if any(fact.voxels_by_value for fact in facts):
        findings += _label_findings(labels, n_folds, len(names))
    shared_id = _shared_id(raw_root, dataset)
    return RawDataset(
        name=dataset,
        folder=folder,
        description=description,
        cases=names,
        content_hash=_content_hash(facts, description),
        voxels_checked=voxels_are_checked(description),
        spacing_mm=_by_axis([fact.geometry.spacing_mm for fact in facts if fact.geometry]),
        shape=_by_axis([fact.geometry.shape for fact in facts if fact.geometry]),
        labels=labels,
        case_hashes={fact.case: json_sha256(_content(fact)) for fact in facts},
        label_volumes_ml=volumes,
        findings=(*description.warnings, *shared_id, *findings, *(f for fact in facts for f in fact.findings)),
    )


def _check_cases(
    cases: Sequence[CaseFiles], folder: Path, description: DatasetDescription, on_progress: OnProgress | None
) -> list[CaseFacts]:
    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1), thread_name_prefix="check_case") as pool:
        futures = [pool.submit(check_case, files, folder, description) for files in cases]
        try:
            for n_done, future in enumerate(as_completed(futures), start=1):
                future.result()
                if on_progress:
                    on_progress(n_done, len(futures))
        except BaseException:
            # Without this, an interrupt waits until every case is read.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _content_hash(facts: Sequence[CaseFacts], description: DatasetDescription) -> str:
    # Entries are paths; what is in the files of a case counts, wherever they lie.
    described = {key: value for key, value in description.raw.items() if key != "dataset"}
    return json_sha256({"dataset_json": described, "cases": {fact.case: _content(fact) for fact in facts}})


def _content(fact: CaseFacts) -> dict[str, Any]:
    return {"images": fact.image_sha256, "label": fact.label_sha256}


def _by_axis(values: Sequence[tuple[float, ...]]) -> tuple[Spread, ...] | None:
    # 2D and 3D images in one dataset have no axes in common; each finding about them is reported elsewhere.
    if not values or len({len(value) for value in values}) > 1:
        return None
    return tuple(Spread.of(axis) for axis in zip(*values, strict=True))


def _label_volumes(facts: Sequence[CaseFacts], description: DatasetDescription) -> dict[str, dict[str, float]]:
    """Returns the volume in ml by case and foreground label, of the cases whose label image could be read."""
    return {
        fact.case: {
            name: sum(fact.voxels_by_value.get(value, 0) for value in description.values_of(name))
            * float(np.prod(fact.geometry.spacing_mm))
            / 1000
            for name in description.foreground
        }
        for fact in facts
        if fact.voxels_by_value and fact.geometry
    }


def _label_statistics(volumes_ml: Mapping[str, Mapping[str, float]]) -> dict[str, LabelStatistics]:
    statistics = {}
    for name in next(iter(volumes_ml.values()), {}):
        present = [volumes[name] for volumes in volumes_ml.values() if volumes[name] > 0]
        statistics[name] = LabelStatistics(len(present), Spread.of(present) if present else None)
    return statistics


def _count_findings(cases: Sequence[str], description: DatasetDescription, n_folds: int) -> Iterator[Finding]:
    n_cases = len(cases)
    if description.n_training != n_cases:
        said = "has no numTraining" if description.n_training is None else f"says numTraining {description.n_training}"
        message = (
            f'dataset.json {said}, but {n_cases} training cases were found. If these are all, write "numTraining": '
            f"{n_cases}; nnU-Net's integrity check compares."
        )
        severity: Severity = "warning" if description.n_training is None else "error"
        yield Finding("D016", severity, message, file=DATASET_JSON)
    if n_cases < n_folds:
        message = (
            f"{n_cases} cases cannot be split into {n_folds} folds, each with a case to validate on. Add cases, or set "
            f"folds to {n_cases} or less."
        )
        yield Finding("D029", "error", message)
    elif n_cases < 2 * n_folds:
        message = (
            f"{n_cases} cases in {n_folds} folds leave folds with one validation case; the mean of such a fold is that "
            "case's value."
        )
        yield Finding("D030", "warning", message)


def _duplicates(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Yields cases whose images are the same bytes: one patient twice, in training and in validation."""
    counts = Counter(fact.image_sha256 for fact in facts)
    for sums, count in counts.items():
        if count > 1 and sums and None not in sums:
            same = [fact.case for fact in facts if fact.image_sha256 == sums]
            message = f"The cases {first_offenders(same)} have the same images, byte for byte. Keep one of them."
            yield Finding("D054", "warning", message, same[0])


def _label_findings(labels: Mapping[str, LabelStatistics], n_folds: int, n_cases: int) -> Iterator[Finding]:
    if labels and not any(label.n_cases for label in labels.values()):
        message = (
            f"No case holds any of {first_offenders(list(labels))}: there is nothing to learn. Check the label images."
        )
        yield Finding("D036", "error", message)
        return
    for name, label in labels.items():
        if label.n_cases == 0:
            message = (
                f"The label {name!r} is in no case; its dice will be undefined. Take it out of dataset.json, or check."
            )
            yield Finding("D037", "warning", message, file=DATASET_JSON)
        elif label.n_cases < n_folds <= n_cases:
            message = (
                f"The label {name!r} is in {label.n_cases} cases only, so some of {n_folds} folds validate without it."
            )
            yield Finding("D038", "warning", message)


def _shared_id(raw_root: Path, dataset: str) -> Iterator[Finding]:
    if others := datasets_of_same_id(raw_root, dataset):
        message = (
            f"{first_offenders(others)} in {raw_root} has the id of {dataset}. nnU-Net finds datasets by their id and "
            "refuses two; rename one of the folders."
        )
        yield Finding("D062", "error", message)
