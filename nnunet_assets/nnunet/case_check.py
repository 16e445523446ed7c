"""One training case: its checksums, its geometry, what its label holds, and all that is wrong with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset_json import DatasetDescription
from nnunet_assets.core.findings import Finding
from nnunet_assets.core.provenance import file_sha256
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.case_files import CaseFiles, voxels_are_checked
from nnunet_assets.nnunet.nifti import Volume, VolumeError, read_volume, shape_text

SAME_PLACE_MM = 1e-3
"""Label and image count as lying in one place when no corner differs by more."""

_RESAMPLED = "A label image needs whole numbers; it was probably resampled with interpolation. Use nearest neighbour."


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a file lie.

    Attributes:
        name: The file, relative to the dataset's folder.
        shape: Number of voxels along X, Y, Z; two numbers for a 2D image.
        spacing_mm: Voxel size along the same axes.
        affine: 4 x 4, voxel index to world in mm.
    """

    name: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine: np.ndarray

    @property
    def corners_mm(self) -> np.ndarray:
        """World coordinates of the corners, (8, 3)."""
        last = [n - 1 for n in (*self.shape, 1, 1)[:3]]
        index = np.array([[x, y, z, 1] for x in (0, last[0]) for y in (0, last[1]) for z in (0, last[2])])
        return (index @ self.affine.T)[:, :3]


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case once its files were read.

    Attributes:
        case: The case's name.
        image_sha256: By channel.
        label_sha256: None where there is no label.
        geometry: Of the first channel; None where it could not be read or is not read here.
        voxels_by_value: Value in the label image to its number of voxels; None as for `geometry`.
        findings: What is wrong.
    """

    case: str
    image_sha256: tuple[str | None, ...]
    label_sha256: str | None
    geometry: Geometry | None = None
    voxels_by_value: Mapping[int, int] | None = None
    findings: tuple[Finding, ...] = ()


def check_case(files: CaseFiles, folder: Path, description: DatasetDescription) -> CaseFacts:
    """Reads every file of a case once. One image at a time is in memory."""
    if not voxels_are_checked(description):
        return _checksums(files, folder)
    check = _Check(files.case, folder, description)
    images = [check.read(path) for path in files.images]
    label = check.read(files.label, is_label=True) if files.label else None
    geometries = [read.geometry for read in [*images, *([label] if label else [])] if read.geometry]
    check.findings += _misplaced(files.case, geometries)
    return CaseFacts(
        case=files.case,
        image_sha256=tuple(image.sha256 for image in images),
        label_sha256=label.sha256 if label else None,
        geometry=images[0].geometry if images else None,
        voxels_by_value=label.voxels_by_value if label else None,
        findings=tuple(check.findings),
    )


@dataclass(frozen=True)
class _Read:
    """What stays of a file after its voxels are let go."""

    sha256: str | None
    geometry: Geometry | None = None
    voxels_by_value: Mapping[int, int] | None = None


@dataclass
class _Check:
    case: str
    folder: Path
    description: DatasetDescription
    findings: list[Finding] = field(default_factory=list)

    def read(self, path: Path, *, is_label: bool = False) -> _Read:
        name = _relative(path, self.folder)
        try:
            volume = read_volume(path, name)
            geometry = self._geometry(volume, name)
        except VolumeError as error:
            self._add(error.code, str(error), name)
            return _Read(_sha256_or_none(path))
        if is_label:
            return _Read(volume.sha256, geometry, self._label_values(volume, name))
        self._check_image(volume, name)
        return _Read(volume.sha256, geometry)

    def _add(self, code: str, message: str, name: str, *, warning: bool = False) -> None:
        self.findings.append(Finding(code, "warning" if warning else "error", message, self.case, name))

    def _geometry(self, volume: Volume, name: str) -> Geometry:
        shape = volume.shape
        compressed_name = name.lower().endswith(".gz")
        # For .nii.gz nnU-Net reads with ITK, which drops trailing axes of length 1 and takes 2D; for .nii it does not.
        while compressed_name and len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) != 3 and not (compressed_name and len(shape) == 2):
            raise VolumeError(
                "D046",
                f"{name} has the shape {shape_text(volume.shape)}; nnU-Net needs three axes. Split channels or time "
                "points into one file each (`nnunet-assets import-dataset` does it for a Decathlon folder).",
            )
        spacing = volume.spacing_mm[: len(shape)]
        if not all(np.isfinite(spacing)) or min(spacing) <= 0:
            raise VolumeError(
                "D042", f"{name} has the spacing {spacing} mm; every axis needs a positive one. Export it again."
            )
        if compressed_name and not volume.is_gzip:
            message = (
                f"{name} is not compressed although its name ends in .gz; many tools will not open it. Run gzip on it."
            )
            self._add("D049", message, name, warning=True)
        return Geometry(name, shape, spacing, volume.affine)

    def _check_image(self, volume: Volume, name: str) -> None:
        stored = volume.stored
        if stored.dtype.kind == "f" and not np.isfinite(stored).all():
            for code, kind, mask in (("D031", "NaN", np.isnan(stored)), ("D032", "infinity", np.isinf(stored))):
                if n_voxels := int(mask.sum()):
                    self._add(code, _not_finite(name, n_voxels, kind, mask), name)
        elif stored.min() == stored.max():
            self._add("D034", f"{name} has the same value in every voxel; is it the right file?", name, warning=True)

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
        # In the file's own order: a view, where "C" order would copy and be slower to sort.
        found, counts = np.unique(values.ravel(order="K"), return_counts=True)
        declared = self.description.voxel_values
        unknown = [(v, n) for v, n in zip(found.tolist(), counts.tolist(), strict=True) if v not in declared]
        if unknown:
            shown = first_offenders([f"{value:g} ({_voxels(n)})" for value, n in unknown])
            message = (
                f"{name} has values that dataset.json does not declare: {shown}; it declares "
                f"{first_offenders(declared)}. Correct the label image, or declare the label."
            )
            self._add("D039", message, name)
        if found.tolist() == [0]:
            self._add("D035", f"{name} is all background; is it the right file?", name, warning=True)
        return {int(v): n for v, n in zip(found.tolist(), counts.tolist(), strict=True) if v in declared}


def _misplaced(case: str, geometries: list[Geometry]) -> Iterator[Finding]:
    """Compares every file with the first one that could be read."""
    for other in geometries[1:]:
        first = geometries[0]
        where = (case, other.name)
        if other.shape != first.shape:
            message = (
                f"{other.name} has the shape {shape_text(other.shape)}, but {first.name} has "
                f"{shape_text(first.shape)}. All files of a case must lie on one grid; resample or export it again."
            )
            yield Finding("D041", "error", message, *where)
        # The tolerance of nnU-Net's own check.
        elif not np.allclose(other.spacing_mm, first.spacing_mm):
            message = (
                f"{other.name} has the spacing {_mm(other.spacing_mm)}, but {first.name} has {_mm(first.spacing_mm)}. "
                "Correct the header that is wrong."
            )
            yield Finding("D042", "error", message, *where)
        elif (distance := float(np.abs(other.corners_mm - first.corners_mm).max())) > SAME_PLACE_MM:
            message = (
                f"{other.name} lies {distance:.3g} mm away from {first.name} by their headers (origin or direction). "
                "nnU-Net pairs them voxel by voxel all the same; look at both in a viewer."
            )
            yield Finding("D043", "warning", message, *where)


def _not_finite(name: str, n_voxels: int, kind: str, mask: np.ndarray) -> str:
    first = tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))
    return (
        f"{name} has {_voxels(n_voxels)} of {kind}, the first at index {first}. nnU-Net would read 0 there; put a "
        "value that makes sense for the image."
    )


def _voxels(n_voxels: int) -> str:
    return "1 voxel" if n_voxels == 1 else f"{n_voxels} voxels"


def _mm(spacing_mm: tuple[float, ...]) -> str:
    return " × ".join(f"{value:.6g}" for value in spacing_mm) + " mm"


def _checksums(files: CaseFiles, folder: Path) -> CaseFacts:
    paths = [*files.images, *([files.label] if files.label else [])]
    sums = {path: _sha256_or_none(path) for path in paths}
    findings = [
        Finding("D053", "error", f"{_relative(path, folder)} cannot be read.", files.case, _relative(path, folder))
        for path, sha256 in sums.items()
        if sha256 is None
    ]
    label_sha256 = sums[files.label] if files.label else None
    return CaseFacts(files.case, tuple(sums[path] for path in files.images), label_sha256, findings=tuple(findings))


def _sha256_or_none(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
