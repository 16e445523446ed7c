"""One label image as an array (z, y, x), its spacing in the same order and its place, as nnU-Net's reader has them.

The voxels of NIfTI files are read by this package (`nifti`), which takes a file that is cut for what it is; the formats
that it does not read go through nnU-Net's own reader. Formats without a header of their own (PNG, BMP, TIFF without a
sidecar) get the spacing that nnU-Net stands in for it, so that millimetres are pixels there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from nnunet_assets.errors import EvaluationError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.companion_files import label_companions, tiff_spacing
from nnunet_assets.nnunet.images.image_limits import refuse_oversized_raster
from nnunet_assets.nnunet.images.image_reader import PHOTO_READER, TIFF_READER, reader_class, reads_nifti_here
from nnunet_assets.nnunet.images.reader_placement import (
    ITK_READERS,
    ITK_READING,
    ItkRefusal,
    affine_of_itk,
    itk_placement,
    nifti_placement,
)
from nnunet_assets.nnunet.images.reader_voxels import unreadable

ReadLabel = Callable[[Path], "LabelImage"]

_PLACE = ("spacing", "origin", "direction")

_stdout = Lock()


@dataclass(frozen=True)
class LabelImage:
    """A label image.

    Attributes:
        voxels: Whole numbers, axes (z, y, x), or (y, x).
        spacing_mm: Voxel size along the axes of `voxels`, in their order.
        affine: 4 x 4, voxel index (x, y, z) to world in mm; None where the format does not say.
        is_spacing_known: Whether file or sidecar say the spacing; else nnU-Net assumes it.
    """

    voxels: np.ndarray
    spacing_mm: tuple[float, ...]
    affine: np.ndarray | None
    is_spacing_known: bool = True


def label_reader(reader: str, file_ending: str) -> ReadLabel:
    """Returns the function that reads label images as one of nnU-Net's readers does.

    It may be called from several threads. It raises `DatasetError` (`VolumeError`, `EvaluationError`) where a file is
    no label image, or the reader refuses it.

    Args:
        reader: Its name (`image_reader`).
        file_ending: Of the files.

    Raises:
        DatasetError: nnU-Net has no such reader.
    """
    if reads_nifti_here(reader, file_ending):
        return lambda path: _read_nifti(path, reader)
    read_seg = reader_class(reader)().read_seg
    return lambda path: _read_by_nnunet(path, reader, read_seg)


def with_known_spacing(reference: LabelImage, prediction: LabelImage) -> tuple[LabelImage, LabelImage]:
    """Returns the two, each with the other's spacing where it has none of its own.

    nnU-Net copies references without their sidecars into `gt_segmentations`, and writes them beside predictions.
    """
    if reference.is_spacing_known == prediction.is_spacing_known:
        return reference, prediction
    known = reference if reference.is_spacing_known else prediction
    one, other = (replace(image, spacing_mm=known.spacing_mm) for image in (reference, prediction))
    return one, other


def geometry_difference(image: LabelImage, reference: LabelImage) -> str | None:
    """Returns in which way the image lies elsewhere than the reference, for people; None: it does not."""
    if image.voxels.shape != reference.voxels.shape:
        shapes = (nifti.shape_text(one.voxels.shape[::-1]) for one in (image, reference))
        return "the shape {}, its reference {}".format(*shapes)
    # The tolerance of nnU-Net's own check of a dataset.
    if not np.allclose(image.spacing_mm, reference.spacing_mm):
        spacings = (" × ".join(f"{mm:g}" for mm in one.spacing_mm[::-1]) for one in (image, reference))
        return "a spacing of {} mm, its reference {}".format(*spacings)
    if image.affine is not None and reference.affine is not None:
        distance_mm = _largest_distance_mm(image.affine, reference.affine, image.voxels.shape[::-1])
        # Less is what headers round: an orientation may be kept as a quaternion of 32 bits.
        if not distance_mm <= min(reference.spacing_mm) / 2:
            return f"a place that is {distance_mm:.3g} mm from its reference's, by origin or direction"
    return None


def _largest_distance_mm(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """Returns how far apart the two affines put a corner of the image; the shape is along X, Y, Z."""
    ends = [(0, n - 1) for n in (*shape, 1)[:3]]
    corners = np.array([[x, y, z, 1] for x in ends[0] for y in ends[1] for z in ends[2]])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def _read_nifti(path: Path, reader: str) -> LabelImage:
    volume = nifti.read_volume(path, as_itk=reader in ITK_READERS)
    placement = nifti_placement(path, str(path), volume.header, reader)
    voxels = placement.arranged(volume.values()).T
    return LabelImage(_whole(voxels, path), _spacing(placement.spacing_mm[::-1], path), placement.affine)


@contextmanager
def silence() -> Iterator[None]:
    """Keeps back what nnU-Net prints of a file without a sidecar; thread by thread, since stdout is everybody's."""
    with _stdout, redirect_stdout(StringIO()):
        yield


def _read_by_nnunet(
    path: Path, reader: str, read_seg: Callable[[str], tuple[np.ndarray, dict[str, Any]]]
) -> LabelImage:
    sidecars = label_companions(path, reader) if reader == TIFF_READER else []
    known = [tiff_spacing(sidecar, str(path)) for sidecar in sidecars]
    if reader in ITK_READERS:
        _refuse_oversized(path, reader)
    elif reader in (PHOTO_READER, TIFF_READER):
        refuse_oversized_raster(path, str(path))
    try:
        with (
            silence() if None in known else nullcontext(),
            ITK_READING if reader in ITK_READERS else nullcontext(),
        ):
            voxels, properties = read_seg(str(path))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (its libraries raise anything on a damaged file; to find it is theirs)
        raise EvaluationError(unreadable(str(path), error)) from None
    if len(voxels) > 1:
        raise nifti.VolumeError(
            "D046",
            f"{path} holds {len(voxels)} numbers a pixel, as colours or a fourth axis do; a label image has one. Save "
            "it with one. (A TIFF of three or four slices is taken for colours; as .tiff it is not.)",
        )
    spacing_mm = tuple(float(mm) for mm in np.ravel(np.asarray(properties["spacing"])))
    place = properties.get("sitk_stuff")
    affine = affine_of_itk(*(place[key] for key in _PLACE)) if place else None
    # nnU-Net gives an image of two axes a third one: of 999 pixels where the format has no spacing.
    is_plane = len(place["spacing"]) == 2 if place else reader == PHOTO_READER
    voxels = voxels[0, 0] if is_plane else voxels[0]
    spacing_mm = _spacing(spacing_mm[-voxels.ndim :], path)
    return LabelImage(_whole(voxels, path), spacing_mm, affine, is_spacing_known=None not in known)


def _refuse_oversized(path: Path, reader: str) -> None:
    try:
        itk_placement(path, str(path), reader)
    except ItkRefusal:
        return  # nnU-Net's reader says what it does not like
    except nifti.VolumeError as error:
        if error.code in ("D047", "D050"):
            raise


def _whole(voxels: np.ndarray, path: Path) -> np.ndarray:
    if voxels.dtype.kind in "biu":
        return voxels
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = voxels.astype(np.float32)  # as nnU-Net reads it: a slope of 0.1 is not exact
        whole = np.rint(rounded)
    if not np.array_equal(whole, rounded) or not np.isfinite(whole).all() or np.abs(whole).max() > 2**24:
        raise EvaluationError(
            f"{path} holds values that are no whole numbers, so it is no label image; it was probably resampled with "
            "interpolation, or holds probabilities."
        )
    return whole.astype(np.int32)


def _spacing(spacing_mm: tuple[float, ...], path: Path) -> tuple[float, ...]:
    if not all(np.isfinite(spacing_mm)) or min(spacing_mm) <= 0:
        raise EvaluationError(
            f"{path} has the spacing {spacing_mm[::-1]} mm; every axis needs a positive one. Export it again."
        )
    return spacing_mm
