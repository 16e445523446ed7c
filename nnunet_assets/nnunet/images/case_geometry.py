"""Where the voxels of a case's files lie, and by how much they lie apart."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.text.numbers import significant
from nnunet_assets.nnunet.images.nifti import ENDINGS, shape_text
from nnunet_assets.nnunet.images.reader_placement import Placement, nifti_placement

_DIRECTIONS = ("LR", "PA", "IS")
"""What NIfTI's world axes lead to, down and up: left and right, posterior and anterior, inferior and superior."""

SAME_PLACE_MM = 1e-3
"""Files of a case count as lying in one place when no corner differs by more, or by more than a tenth of a voxel."""


@dataclass(frozen=True)
class Geometry:
    """Where the voxels of a file lie.

    Attributes:
        name: The file, relative to the dataset's folder.
        shape: Number of voxels along X, Y, Z; two numbers for a 2D image.
        spacing_mm: Voxel size along the same axes.
        affine: Rows of the 4 x 4 matrix from voxel index to world in mm; finite.
    """

    name: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine: tuple[tuple[float, ...], ...]

    @property
    def corners_mm(self) -> np.ndarray:
        """World coordinates of the corners, (8, 3)."""
        last = [n - 1 for n in (*self.shape, 1, 1)[:3]]
        index = np.array([[x, y, z, 1] for x in (0, last[0]) for y in (0, last[1]) for z in (0, last[2])])
        corners: np.ndarray = (index @ np.array(self.affine).T)[:, :3]
        return corners

    @property
    def same_place_mm(self) -> float:
        """How far a corner of another file may lie away for the two to lie in one place."""
        return min(SAME_PLACE_MM, min(self.spacing_mm) / 10)

    def distance_mm(self, other: "Geometry") -> float:
        """Returns by how much the farthest corner differs, along a world axis; both have one shape."""
        return float(np.abs(self.corners_mm - other.corners_mm).max())

    @property
    def origin_mm(self) -> np.ndarray:
        """World coordinates of the first voxel, (3,)."""
        return np.array(self.affine)[:3, 3]

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors of the file's axes in the world, as columns, (3, 3)."""
        axes = np.array(self.affine)[:3, :3]
        unit: np.ndarray = axes / np.maximum(np.linalg.norm(axes, axis=0), np.finfo(float).tiny)
        return unit

    @property
    def orientation(self) -> str:
        """Where the file's axes lead, such as RAS; of an oblique one, the direction that is nearest."""
        axes = self.directions.T[: len(self.shape)]
        nearest = np.abs(axes).argmax(axis=1)
        return "".join(_DIRECTIONS[world][int(axis[world] > 0)] for axis, world in zip(axes, nearest, strict=True))


def geometry_of(path: Path, header: Any, name: str, reader: str) -> Geometry:
    """Returns where a reader of nnU-Net's puts the voxels of a NIfTI file.

    Raises:
        VolumeError: As `nifti_placement`.
    """
    return placed(name, nifti_placement(path, name, header, reader))


def placed(name: str, placement: Placement) -> Geometry:
    """Returns a placement as that of a named file."""
    affine = tuple(tuple(float(value) for value in row) for row in placement.affine)
    return Geometry(name, placement.shape, placement.spacing_mm, affine)


def misplaced(case: str, geometries: Sequence[Geometry]) -> Iterator[Finding]:
    """Compares every file of a case with the first one that could be read."""
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
            difference = float(np.abs(np.subtract(other.spacing_mm, first.spacing_mm)).max())
            message = (
                f"{other.name} has the spacing {_mm(other.spacing_mm)}, but {first.name} has {_mm(first.spacing_mm)}. "
                f"They differ by {difference:.3g} mm; nnU-Net allows 0.001 %. Correct the header that is wrong."
            )
            yield Finding("D042", "error", message, *where)
        elif (distance := other.distance_mm(first)) > first.same_place_mm:
            message = (
                f"{other.name} lies {significant(distance, first.same_place_mm)} mm away from {first.name} by their "
                f"headers ({_apart(first, other)}; up to {first.same_place_mm:g} mm is allowed). nnU-Net would pair "
                "them voxel by voxel all the same. Look at both in a viewer: where that is right, "
                f"{_repair(other.name, distance)}; else export it again, or leave the case out by `quarantine`."
            )
            yield Finding("D043", "error", message, *where)


def _repair(name: str, distance_mm: float) -> str:
    if not name.lower().endswith(ENDINGS):
        return "write the place of the first file into the header of this one"
    return (
        f"set the dataset's `repair_headers_mm` to {_rounded_up(distance_mm):g} or more, which gives it that header in "
        "a copy"
    )


def _rounded_up(distance_mm: float) -> float:
    """Returns the distance with the digits that matter, never less: hundredths, or less for micrometres."""
    digits = max(2, -math.floor(math.log10(distance_mm)))
    return float(math.ceil(distance_mm * 10**digits) / 10**digits)


def _apart(first: Geometry, other: Geometry) -> str:
    origin_mm = float(np.abs(other.origin_mm - first.origin_mm).max())
    cosines = np.clip((other.directions * first.directions).sum(axis=0), -1, 1)
    degrees = float(np.degrees(np.arccos(cosines)).max())
    return f"origin by {origin_mm:.3g} mm, direction by {degrees:.3g}°"


def _mm(spacing_mm: tuple[float, ...]) -> str:
    return " × ".join(f"{value:.6g}" for value in spacing_mm) + " mm"
