"""One training case: its checksums, its geometry, what its images and its label hold, and all that is wrong with it.

Knows nothing of the other cases: what is found here depends on the case's own files, on the labels of dataset.json and
on this code, so that it may be kept as long as they are the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset_json import DatasetDescription
from nnunet_assets.core.findings import Finding
from nnunet_assets.core.intake import Intensities
from nnunet_assets.core.intensity_rules import Extremes
from nnunet_assets.core.provenance import file_sha256, json_sha256
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.case_files import CaseFiles, voxels_are_checked
from nnunet_assets.nnunet.case_geometry import Geometry, geometry_of, misplaced
from nnunet_assets.nnunet.file_stats import FileStat, stat_of
from nnunet_assets.nnunet.nifti import Volume, VolumeError, read_volume
from nnunet_assets.nnunet.personal_data import personal_fields
from nnunet_assets.nnunet.voxel_extremes import ExtremesOfCase
from nnunet_assets.nnunet.voxel_statistics import intensities_of, value_counts, voxel_sha256

_RESAMPLED = "A label image needs whole numbers; it was probably resampled with interpolation. Use nearest neighbour."


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case once its files were read.

    Attributes:
        case: The case's name.
        image_sha256: By channel, of the file's bytes; None where it cannot be read.
        label_sha256: None where there is no label.
        voxel_sha256: By channel, of the voxels' values, however they are stored; None where they were not read, or are
            all the same.
        intensities: By channel; None where they were not read.
        extremes: Likewise, what decides how normalization turns out.
        geometry: Of the first channel; None where it could not be read or is not read here.
        voxels_by_value: Value in the label image to its number of voxels; None as for `geometry`.
        findings: What is wrong.
    """

    case: str
    image_sha256: tuple[str | None, ...]
    label_sha256: str | None
    voxel_sha256: tuple[str | None, ...] = ()
    intensities: tuple[Intensities | None, ...] = ()
    extremes: tuple[Extremes | None, ...] = ()
    geometry: Geometry | None = None
    voxels_by_value: Mapping[int, int] | None = None
    findings: tuple[Finding, ...] = ()


def check_case(files: CaseFiles, folder: Path, description: DatasetDescription) -> CaseFacts:
    """Reads every file of a case once. One image at a time is in memory.

    Raises:
        DatasetError: A file that was listed is gone: the disk, or the folder, was taken away.
    """
    check = _Check(files.case, folder, description, is_voxels=voxels_are_checked(description))
    images = [check.read(path) for path in files.images]
    label = check.read(files.label, is_label=True) if files.label else None
    geometries = [read.geometry for read in [*images, *([label] if label else [])] if read.geometry]
    check.findings += misplaced(files.case, geometries)
    return CaseFacts(
        case=files.case,
        image_sha256=tuple(image.sha256 for image in images),
        label_sha256=label.sha256 if label else None,
        voxel_sha256=tuple(image.voxel_sha256 for image in images),
        intensities=tuple(image.intensities for image in images),
        extremes=check.extremes.of(files.images),
        geometry=images[0].geometry if images else None,
        voxels_by_value=label.voxels_by_value if label else None,
        findings=tuple(check.findings),
    )


def case_sha256(image_sha256: Sequence[str | None], label_sha256: str | None) -> str:
    """Returns the digest of a case, from those of its images by channel and of its label."""
    return json_sha256({"images": list(image_sha256), "label": label_sha256})


@dataclass(frozen=True)
class _Read:
    """What stays of a file after its voxels are let go."""

    sha256: str | None
    geometry: Geometry | None = None
    voxel_sha256: str | None = None
    intensities: Intensities | None = None
    voxels_by_value: Mapping[int, int] | None = None


@dataclass
class _Check:
    case: str
    folder: Path
    description: DatasetDescription
    is_voxels: bool
    findings: list[Finding] = field(default_factory=list)
    extremes: ExtremesOfCase = field(default_factory=ExtremesOfCase)

    def read(self, path: Path, *, is_label: bool = False) -> _Read:
        name = _relative(path, self.folder)
        before = _stat_or_gone(path, name)
        read = self._read_voxels(path, name, is_label) if self.is_voxels else self._read_bytes(path, name)
        if _stat_or_gone(path, name) != before:
            self._add("D051", f"{name} changed while it was read. Look again when nothing writes there.", name)
        return read

    def _read_bytes(self, path: Path, name: str) -> _Read:
        try:
            return _Read(file_sha256(path))
        except OSError as error:
            self._add("D053", f"{name} cannot be read: {error.strerror or error}.", name)
            return _Read(None)

    def _read_voxels(self, path: Path, name: str, is_label: bool) -> _Read:
        try:
            volume = read_volume(path, name)
            geometry = geometry_of(volume, name)
        except VolumeError as error:
            self._add(error.code, str(error), name)
            return _Read(_sha256_or_none(path))
        self._check_header(volume, name)
        if is_label:
            self.extremes.add_label(volume)
            return _Read(volume.sha256, geometry, voxels_by_value=self._label_values(volume, name))
        intensities = intensities_of(volume)
        self.extremes.add_image(path, volume)
        is_constant = self._check_image(volume, name)
        return _Read(volume.sha256, geometry, None if is_constant else voxel_sha256(volume), intensities)

    def _add(self, code: str, message: str, name: str, *, warning: bool = False) -> None:
        self.findings.append(Finding(code, "warning" if warning else "error", message, self.case, name))

    def _check_header(self, volume: Volume, name: str) -> None:
        if name.lower().endswith(".gz") and not volume.is_gzip:
            message = (
                f"{name} is not compressed although its name ends in .gz; many tools will not open it. Run gzip on it."
            )
            self._add("D049", message, name, warning=True)
        if fields := personal_fields(volume.header, volume.extensions):
            message = (
                f"{name} may hold personal data in its header ({first_offenders(fields)}; what it says is not shown "
                "here). Look, and empty these fields before the file is shared."
            )
            self._add("D073", message, name, warning=True)

    def _check_image(self, volume: Volume, name: str) -> bool:
        """Returns whether all voxels have the same value."""
        stored = volume.stored
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            for code, kind, mask in (("D031", "NaN", np.isnan(stored)), ("D032", "infinity", np.isinf(stored))):
                if n_voxels := int(mask.sum()):
                    self._add(code, _not_finite(name, n_voxels, kind, mask), name)
        elif stored.min() == stored.max():
            self._add("D034", f"{name} has the same value in every voxel; is it the right file?", name, warning=True)
            return True
        return False

    def _label_values(self, volume: Volume, name: str) -> Mapping[int, int] | None:
        values = volume.values()
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)  # as nnU-Net reads it: a slope of 0.1 is not exact
            not_whole = values != np.rint(values)  # NaN too; an infinite value is caught as undeclared
            if n_voxels := int(not_whole.sum()):
                examples = first_offenders([f"{value:g}" for value in np.unique(values[not_whole])])
                self._add(
                    "D040", f"{name} has {_voxels(n_voxels)} between whole numbers ({examples}). {_RESAMPLED}", name
                )
                return None
        counts = value_counts(values)
        declared = self.description.voxel_values
        if unknown := [(value, n) for value, n in counts.items() if value not in declared]:
            shown = first_offenders([f"{value:g} ({_voxels(n)})" for value, n in unknown])
            message = (
                f"{name} has values that dataset.json does not declare: {shown}; it declares "
                f"{first_offenders(declared)}. Correct the label image, or declare the label."
            )
            self._add("D039", message, name)
        if list(counts) == [0]:
            self._add("D035", f"{name} is all background; is it the right file?", name, warning=True)
        return {int(value): n for value, n in counts.items() if value in declared}


def case_paths(files: CaseFiles) -> Iterator[Path]:
    """Yields the files of a case, the images by channel and then the label."""
    yield from files.images
    if files.label:
        yield files.label


def _stat_or_gone(path: Path, name: str) -> FileStat:
    try:
        return stat_of(path)
    except OSError as error:
        raise DatasetError(
            f"{name} was there when the reading of the dataset began, and is gone now ({error.strerror}): {path}. Was "
            "the disk or the folder taken away? Bring it back and look again; what was read until now is kept."
        ) from None


def _not_finite(name: str, n_voxels: int, kind: str, mask: np.ndarray) -> str:
    first = tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))
    return (
        f"{name} has {_voxels(n_voxels)} of {kind}, the first at index {first}. nnU-Net would read 0 there; put a "
        "value that makes sense for the image."
    )


def _voxels(n_voxels: int) -> str:
    return "1 voxel" if n_voxels == 1 else f"{n_voxels} voxels"


def _sha256_or_none(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
