"""One label image as an array (z, y, x), its spacing in the same order and its place, whatever format it is in.

NIfTI files are read by this package (`nifti`), which takes a file that is cut for what it is; the formats that it does
not read go through nnU-Net's own reader. Formats without a header of their own (PNG, BMP, TIFF) get the spacing that
nnU-Net stands in for it, so that millimetres are pixels there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset_json import DATASET_JSON, DatasetDescription
from nnunet_assets.errors import EvaluationError
from nnunet_assets.nnunet import nifti
from nnunet_assets.nnunet.code_names import refuse_foreign_code
from nnunet_assets.settings import trusted_code

ReadLabel = Callable[[Path], "LabelImage"]


@dataclass(frozen=True)
class LabelImage:
    """A label image.

    Attributes:
        voxels: Whole numbers, axes (z, y, x), or (y, x).
        spacing_mm: Voxel size along the axes of `voxels`, in their order.
        affine: 4 x 4, voxel index (x, y, z) to world in mm; None where the format does not say.
    """

    voxels: np.ndarray
    spacing_mm: tuple[float, ...]
    affine: np.ndarray | None


def label_reader(description: DatasetDescription, example: Path) -> ReadLabel:
    """Returns the function that reads a dataset's label images.

    It may be called from several threads. It raises `DatasetError` (`VolumeError`, `EvaluationError`) where a file is
    no label image.

    Args:
        description: The dataset's dataset.json.
        example: One of the files, by which nnU-Net chooses among its readers.
    """
    if description.file_ending.lower() in nifti.ENDINGS:
        return _read_nifti
    refuse_foreign_code(DATASET_JSON, trusted_code(), dataset_json=description.raw)
    from nnunetv2.imageio.reader_writer_registry import determine_reader_writer_from_dataset_json

    try:
        reader = determine_reader_writer_from_dataset_json(dict(description.raw), str(example), verbose=False)()
    except RuntimeError as error:
        raise EvaluationError(f"nnU-Net has no reader for {example}: {error}") from None
    return lambda path: _read_by_nnunet(path, reader.read_seg)


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


def _read_nifti(path: Path) -> LabelImage:
    volume = nifti.read_volume(path)
    n_axes = len(volume.shape)
    # As ITK, with which nnU-Net reads: further axes of one voxel are none.
    while n_axes > 3 and volume.shape[n_axes - 1] == 1:
        n_axes -= 1
    if n_axes not in (2, 3):
        raise EvaluationError(
            f"{path} has the shape {nifti.shape_text(volume.shape)}; a label image has two or three axes."
        )
    voxels = volume.values().reshape(volume.shape[:n_axes], order="F").T
    return LabelImage(_whole(voxels, path), _spacing(volume.spacing_mm[:n_axes][::-1], path), volume.affine)


def _read_by_nnunet(path: Path, read_seg: Callable[[str], tuple[np.ndarray, dict[str, object]]]) -> LabelImage:
    try:
        voxels, properties = read_seg(str(path))
    # What its libraries raise where a file is damaged; whether it is cut is theirs to find.
    except (RuntimeError, OSError, ValueError, SyntaxError, AssertionError) as error:
        raise EvaluationError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    spacing_mm = tuple(float(mm) for mm in np.ravel(np.asarray(properties["spacing"])))
    place = properties.get("sitk_stuff")
    affine = _itk_affine(place) if isinstance(place, dict) else None
    # nnU-Net gives an image of two axes a third one: of 999 pixels where the format has no spacing.
    is_plane = len(place["spacing"]) == 2 if isinstance(place, dict) else spacing_mm[0] == 999
    voxels = voxels[0, 0] if is_plane else voxels[0]
    return LabelImage(_whole(voxels, path), _spacing(spacing_mm[-voxels.ndim :], path), affine)


def _itk_affine(stuff: Mapping[str, Sequence[float]]) -> np.ndarray:
    n_axes = len(stuff["spacing"])
    affine = np.eye(4)
    affine[:n_axes, :n_axes] = np.reshape(stuff["direction"], (n_axes, n_axes)) * np.asarray(stuff["spacing"])
    affine[:n_axes, 3] = stuff["origin"]
    return affine


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
