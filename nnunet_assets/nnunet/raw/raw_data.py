"""A raw dataset, looked at once and whole: its cases, its content hash, its statistics and all that is wrong with it.

Reads `nnUNet_raw/DATASET` and never writes there. The voxels of NIfTI files are read here; those of other formats are
read by nnU-Net's reader, and what its integrity check asks of them is asked here. Where voxels lie is what nnU-Net's
reader says.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.dataset.findings import Finding, findings_text, refuse_errors
from nnunet_assets.core.dataset.intake import CaseRow, IntakeReport
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.cases.case_check import CaseFacts, CompanionDigest
from nnunet_assets.nnunet.cases.case_reading import read_cases
from nnunet_assets.nnunet.cases.digest_schemes import SCHEME, dataset_digest, kept_names, named_content
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.cases.intensity_check import cropped_labels, intensity_findings
from nnunet_assets.nnunet.cases.reader_findings import reader_findings
from nnunet_assets.nnunet.images.image_reader import reads_nifti_here
from nnunet_assets.nnunet.raw.case_files import find_cases
from nnunet_assets.nnunet.raw.cohort_check import (
    count_findings,
    doubles,
    image_digests,
    label_findings,
    mixed_labels,
    name_findings,
    outliers,
    resampled_away,
    tiffs_without_spacing,
    tiny_images,
)
from nnunet_assets.nnunet.raw.name_check import clashing_names
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.nnunet.raw.raw_root import dataset_folder, datasets_of_same_id

OF_A_LEAK = ": in training and in validation it would be a leak. Keep one of them."
"""What two cases with one image are in a dataset that is split."""


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
        volume_ml: Its volume over these cases in millilitres; None where it is in no case, or the format has no place.
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
        content_hash: SHA-256 over the content of dataset.json and of every image and label, with the files beside them
            from which nnU-Net takes numbers, by name; the same wherever the folder lies, whatever the files' times and
            order.
        voxels_checked: Whether the files are NIfTI, read here; where not, nnU-Net's own check runs in any case.
        spacing_mm: Voxel size by axis of the file (X, Y, Z; nnU-Net's plans have Z, Y, X); None without readable cases.
        shape: Number of voxels by axis, likewise.
        orientations: As in `RawRecord`.
        labels: By foreground label name.
        case_hashes: By case, the digest of its images and label, and of the files beside them.
        kept_names: As in `digest_schemes`.
        companions: By case, the files beside its images and label, where there are or may be any.
        image_hashes: By case, the digest of its images' voxels, as in `RawRecord`.
        label_volumes_ml: By case and foreground label name, in ml; empty where the voxels were not read.
        findings: All that is wrong, errors and warnings.
        rows: The cases, as a table has them.
        n_read: Cases whose files were read now; the others had not changed since.
    """

    name: str
    folder: Path
    description: DatasetDescription
    cases: tuple[str, ...]
    content_hash: str
    voxels_checked: bool
    spacing_mm: tuple[Spread, ...] | None
    shape: tuple[Spread, ...] | None
    orientations: Mapping[str, int]
    labels: Mapping[str, LabelStatistics]
    case_hashes: Mapping[str, str]
    kept_names: Mapping[str, str]
    companions: Mapping[str, tuple[CompanionDigest, ...]]
    image_hashes: Mapping[str, str]
    label_volumes_ml: Mapping[str, Mapping[str, float]]
    findings: tuple[Finding, ...]
    rows: tuple[CaseRow, ...]
    n_read: int

    @property
    def report(self) -> IntakeReport:
        """What is shown of it."""
        return IntakeReport(
            dataset=self.name,
            content_hash=self.content_hash,
            channel_names=self.description.channel_names,
            foreground=self.description.foreground,
            cases=self.rows,
            findings=self.findings,
            n_read=self.n_read,
            voxels_checked=self.voxels_checked,
        )

    @property
    def record(self) -> RawRecord:
        """What is kept of it for those who split, plan and train."""
        return RawRecord(
            content_hash=self.content_hash,
            cases=self.cases,
            voxels_checked=self.voxels_checked,
            errors=findings_text(self.errors),
            case_hashes=self.case_hashes,
            image_hashes=self.image_hashes,
            label_volumes_ml=self.label_volumes_ml,
            digest_scheme=SCHEME,
            kept_names=self.kept_names,
            companions=self.companions,
            orientations=self.orientations,
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
    raw_root: Path,
    dataset: str,
    n_folds: int,
    progress: Progress = SILENT,
    cache: FactCache | None = None,
    *,
    former: Mapping[str, Any] | None = None,
    trusted: frozenset[str] = frozenset(),
) -> RawDataset:
    """Reads every file of a raw dataset once and returns what it holds, with all that is wrong.

    Args:
        raw_root: nnU-Net's `nnUNet_raw`.
        dataset: `DatasetXXX_Name`.
        n_folds: Folds of the cross-validation, which the cases must suffice for.
        progress: Hears of each case.
        cache: What is known from before, by which unchanged cases are not read; None: all are.
        former: The content of `raw.json` from the look before this one, whose names may go on to hold.
        trusted: As for `image_reader.is_reader`.

    Raises:
        DatasetError: There is no such dataset, its dataset.json is wrong, so that nothing can be looked at, or it went
            away while it was read.
    """
    folder = dataset_folder(raw_root, dataset)
    description = parse_dataset_json(folder / DATASET_JSON)
    try:
        cases, findings = find_cases(folder, description)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from None
    reader, of_reader = reader_findings(description, cases, trusted)
    facts, n_read = read_cases(cases, folder, description, reader, progress=progress, cache=cache)
    findings += of_reader
    names = tuple(files.case for files in cases)
    volumes = _label_volumes(facts, description)
    labels = _label_statistics(facts, volumes, description)
    findings += [*count_findings(names, description, n_folds), *name_findings(names), *doubles(facts, OF_A_LEAK)]
    findings += clashing_names(names, description.file_ending, reader)
    if any(fact.voxels_by_value for fact in facts):
        n_cases_by_label = {name: label.n_cases for name, label in labels.items()}
        findings += label_findings(n_cases_by_label, n_folds, len(names))
    away = {found.case: found for found in resampled_away(facts)}
    findings += intensity_findings(cases, facts, folder, description)
    findings += [
        *(found for found in outliers(facts, description.channel_names) if found.case not in away),
        *tiffs_without_spacing(facts, reader),
        *tiny_images(facts),
        *mixed_labels(facts),
        *cropped_labels(facts),
        *away.values(),
    ]
    findings = [
        *description.warnings,
        *shared_id(raw_root, dataset),
        *findings,
        *(f for fact in facts for f in fact.findings),
    ]
    # Entries are paths; what is in the files of a case counts, wherever they lie.
    described = {key: value for key, value in description.raw.items() if key != "dataset"}
    # As nnU-Net's fingerprint has them: of entries, in their order.
    order = {case: n for n, case in enumerate(description.raw.get("dataset") or ())}
    kept = kept_names(former, sorted(facts, key=lambda fact: order.get(fact.case, 0)), described)
    contents = {fact.case: named_content(fact, kept) for fact in facts}
    return RawDataset(
        name=dataset,
        folder=folder,
        description=description,
        cases=names,
        content_hash=dataset_digest(described, contents),
        voxels_checked=reads_nifti_here(reader, description.file_ending),
        spacing_mm=_by_axis([fact.geometry.spacing_mm for fact in facts if fact.geometry]),
        shape=_by_axis([fact.geometry.shape for fact in facts if fact.geometry]),
        # A dict: `asdict` cannot copy a Counter.
        orientations=dict(Counter(fact.geometry.orientation for fact in facts if fact.geometry)),
        labels=labels,
        case_hashes={case: json_sha256(content) for case, content in contents.items()},
        kept_names=kept,
        companions={fact.case: fact.companions for fact in facts if fact.companions},
        image_hashes={fact.case: json_sha256(list(digests)) for fact in facts if any(digests := image_digests(fact))},
        label_volumes_ml=volumes,
        findings=tuple(findings),
        rows=tuple(_rows(facts, description, volumes, findings)),
        n_read=n_read,
    )


def _by_axis(values: Sequence[tuple[float, ...]]) -> tuple[Spread, ...] | None:
    # 2D and 3D images in one dataset have no axes in common; each finding about them is reported elsewhere.
    if not values or len({len(value) for value in values}) > 1:
        return None
    return tuple(Spread.of(axis) for axis in zip(*values, strict=True))


def _label_volumes(facts: Sequence[CaseFacts], description: DatasetDescription) -> dict[str, dict[str, float]]:
    """Returns the volume in ml by case and foreground label, of the cases whose label image could be read."""
    return {
        fact.case: {
            name: n_voxels * float(np.prod(fact.geometry.spacing_mm)) / 1000
            for name, n_voxels in _label_voxels(fact.voxels_by_value, description).items()
        }
        for fact in facts
        if fact.voxels_by_value and fact.geometry
    }


def _label_voxels(voxels_by_value: Mapping[int, int], description: DatasetDescription) -> dict[str, int]:
    return {
        name: sum(voxels_by_value.get(value, 0) for value in description.values_of(name))
        for name in description.foreground
    }


def _label_statistics(
    facts: Sequence[CaseFacts], volumes_ml: Mapping[str, Mapping[str, float]], description: DatasetDescription
) -> dict[str, LabelStatistics]:
    counts = [_label_voxels(fact.voxels_by_value, description) for fact in facts if fact.voxels_by_value]
    statistics = {}
    for name in description.foreground if counts else ():
        present = [volumes[name] for volumes in volumes_ml.values() if volumes[name] > 0]
        n_cases = sum(count[name] > 0 for count in counts)
        statistics[name] = LabelStatistics(n_cases, Spread.of(present) if present else None)
    return statistics


def _rows(
    facts: Sequence[CaseFacts],
    description: DatasetDescription,
    volumes_ml: Mapping[str, Mapping[str, float]],
    findings: Sequence[Finding],
) -> Iterator[CaseRow]:
    codes: dict[str | None, dict[str, None]] = {}
    for finding in findings:
        codes.setdefault(finding.case, {})[finding.code] = None
    for fact in facts:
        yield CaseRow(
            case=fact.case,
            shape=fact.geometry.shape if fact.geometry else None,
            spacing_mm=fact.geometry.spacing_mm if fact.geometry else None,
            intensities=fact.intensities,
            label_voxels=_label_voxels(fact.voxels_by_value, description) if fact.voxels_by_value else {},
            label_volumes_ml=volumes_ml.get(fact.case, {}),
            codes=tuple(codes.get(fact.case, ())),
        )


def shared_id(raw_root: Path, dataset: str) -> Iterator[Finding]:
    """Yields that another dataset has the same id, where one has."""
    if others := datasets_of_same_id(raw_root, dataset):
        message = (
            f"{first_offenders(others)} in {raw_root} has the id of {dataset}. nnU-Net finds datasets by their id and "
            "refuses two; rename one of the folders."
        )
        yield Finding("D062", "error", message)
