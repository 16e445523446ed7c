"""What the preparation of a dataset would read and write, as far as that is known before it is done."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.files.json_file import UNUSABLE, readable_json
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.errors import DamagedFileError, DatasetError, PlanningError
from nnunet_assets.nnunet.preparation.case_sizes import Size, planned_voxels, unplanned_voxels, usual_saved_bytes
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder
from nnunet_assets.nnunet.raw.raw_root import dataset_folder
from nnunet_assets.settings import Settings, trusted_code


@dataclass(frozen=True)
class PreparationWork:
    """What planning and preprocessing a dataset would read and write.

    Attributes:
        n_cases: Its training cases; None: they are not there yet.
        raw_bytes: Of their images and labels as they lie on the disk; None: likewise.
        saved_bytes: Between what and what the preprocessed cases would take; None: not known yet.
        is_planned: Whether that follows from plans and from the cases as nnU-Net cropped them; else from headers alone.
        free_bytes: On the disk where they would lie.
    """

    n_cases: int | None
    raw_bytes: int | None
    saved_bytes: tuple[int, int] | None
    is_planned: bool
    free_bytes: int

    def in_words(self) -> list[str]:
        """Returns it a line each."""
        reads = "its cases, which are made first"
        if self.raw_bytes is not None:
            reads = f"{self.n_cases} cases, {bytes_text(self.raw_bytes)} on the disk"
        room = "not known before the cases are read, and of some configurations not before nnU-Net has planned"
        if self.saved_bytes:
            least, most = map(bytes_text, self.saved_bytes)
            whence = "by the plans" if self.is_planned else "by the cases' headers, before nnU-Net crops them"
            room = f"about {least} to {most} for preprocessed cases, {whence}"
        return [
            f"Preparation reads {reads}. How long that takes is not known before it is done.",
            f"Disk for the preparation: {room}; {bytes_text(self.free_bytes)} are free",
        ]


def preparation_work(settings: Settings, dataset: DatasetConfig, config: ExperimentConfig) -> PreparationWork:
    """Returns what preparing a dataset for an experiment would read and write; nothing is written.

    Raises:
        DatasetError: There is no such dataset, and none is generated; or its dataset.json cannot be used.
    """
    prepared = PreparedFolder(settings.roots, dataset.dataset)
    free = shutil.disk_usage(next(one for one in (prepared.own, *prepared.own.parents) if one.exists())).free
    if dataset.phantom and not (settings.roots.raw / dataset.dataset).exists():
        return PreparationWork(None, None, None, is_planned=False, free_bytes=free)
    description, cases = _cases(settings, prepared)
    n_channels = len(description.channel_names)
    voxels, is_planned = _planned(prepared, config), True
    if voxels is None:
        sizes, is_planned = _known_sizes(settings, prepared, description, cases), False
        voxels = unplanned_voxels(sizes, config.configuration)
    return PreparationWork(
        n_cases=len(cases),
        raw_bytes=sum(path.stat().st_size for path in _paths(cases) if path.exists()),
        saved_bytes=None if voxels is None else usual_saved_bytes(voxels, n_channels),
        is_planned=is_planned,
        free_bytes=free,
    )


def _cases(settings: Settings, prepared: PreparedFolder) -> tuple[DatasetDescription, list[CaseFiles]]:
    """Returns the cases as they would be planned: without those that a look before this one left out."""
    # Numpy comes with it: 0.1 s, which every load of the definitions would pay.
    from nnunet_assets.nnunet.raw.case_files import find_cases

    try:
        folder = curated_folder(prepared)
    except (PlanningError, DamagedFileError):  # it is looked at again
        folder = dataset_folder(settings.roots.raw, prepared.dataset)
    if not folder.is_dir():
        dataset_folder(settings.roots.raw, prepared.dataset)
    description = parse_dataset_json(folder / DATASET_JSON)
    try:
        return description, find_cases(folder, description, settings.child_environment())[0]
    except OSError as error:
        raise DatasetError(f"{error.filename or folder} cannot be listed: {error.strerror}.") from None


def _paths(cases: Sequence[CaseFiles]) -> list[Path]:
    return [path for files in cases for path in (*files.images, *([files.label] if files.label else []))]


def _planned(prepared: PreparedFolder, config: ExperimentConfig) -> float | None:
    """Returns the voxels of all preprocessed cases where plans of the configuration are there; else None."""
    fingerprint = readable_json(prepared.folder / "dataset_fingerprint.json")
    try:
        plans = prepared.plans(config.plans)
        return planned_voxels(fingerprint, plans.content or {}, plans.configurations[config.configuration])
    except UNUSABLE:
        return None


def _known_sizes(
    settings: Settings, prepared: PreparedFolder, description: DatasetDescription, cases: Sequence[CaseFiles]
) -> list[Size]:
    """Returns shape and spacing of every case, axes Z, Y, X, where all were read before and have three axes, or two."""
    from nnunet_assets.nnunet.cases.fact_cache import FactCache
    from nnunet_assets.nnunet.cases.reader_findings import reader_findings

    cache = FactCache(prepared.fact_cache)
    cache.open(description, reader_findings(description, cases, trusted_code(settings.child_environment()))[0])
    found: list[Size] = []
    for files in cases:
        facts = cache.known(files)
        if facts is None or facts.geometry is None:
            return []
        found.append((facts.geometry.shape[::-1], facts.geometry.spacing_mm[::-1]))
    return [((1,) * (3 - len(shape)) + tuple(shape), (1.0,) * (3 - len(mm)) + tuple(mm)) for shape, mm in found]
