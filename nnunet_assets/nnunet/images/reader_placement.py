"""Where nnU-Net's readers put the voxels of a file, from its header alone: shape, spacing, origin and direction.

SimpleITK's and nibabel's own code is asked, and not a rule of ours: of a NIfTI file they take units, sform, qform and
voxel sizes each in its own way. What `SimpleITK.ReadImage` does to a header beyond `ReadImageInformation` is said again
here, since the latter reads no voxel: an axis of negative spacing is turned round, a direction without volume refused.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from logging import CRITICAL, getLogger
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.nnunet.images.image_limits import refuse_oversized_image
from nnunet_assets.nnunet.images.nifti import VolumeError, is_gzip, shape_text

ITK_READERS = ("SimpleITKIO", "SimpleITKIOWithReorient")
NIBABEL_READERS = ("NibabelIO", "NibabelIOWithReorient")

ITK_READING = Lock()
"""Held by the thread that reads with SimpleITK: two at once, in headers of damaged files, ended a whole check with
"Aborted". Why is not known; its readers of NIfTI and NRRD keep what they are at in global variables."""

UNITS = {1: "metres", 3: "micrometres"}
"""NIfTI's codes of lengths that are not millimetres."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's world axes lead to the left and to posterior, NIfTI's and ours to the right and to anterior."""


@dataclass(frozen=True)
class Placement:
    """Where a reader puts the voxels of a file.

    Attributes:
        shape: Voxels along X, Y and Z; two numbers for an image of two axes.
        spacing_mm: Voxel size along the same axes.
        affine: 4 x 4, voxel index (x, y, z) to world in mm, right, anterior and superior positive.
        axes: For each of these axes the one of the file, and whether it is turned round.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine: np.ndarray
    axes: tuple[tuple[int, bool], ...] = field(default=())

    def arranged(self, stored: np.ndarray) -> np.ndarray:
        """Returns the file's voxels in the reader's order, (X, Y, Z) or (X, Y), without axes that the reader drops."""
        order = self.axes or tuple((axis, False) for axis in range(len(self.shape)))
        kept = stored.reshape(stored.shape[: len(order)], order="F").transpose([axis for axis, _ in order])
        return kept[tuple(slice(None, None, -1 if is_turned else 1) for _, is_turned in order)]


@np.errstate(all="ignore")
def nifti_placement(path: Path, name: str, header: Any, reader: str) -> Placement:
    """Returns where a reader puts the voxels of a NIfTI file.

    Args:
        path: The file.
        name: How messages call it.
        header: nibabel's, as it stands in the file.
        reader: One of `ITK_READERS` and `NIBABEL_READERS`.

    Raises:
        VolumeError: The reader refuses the header (D045); it has not two or three axes (D046); its voxels have no size
            (D042), or its place is no number (D049); or the reader ignores the unit of its lengths (D076).
    """
    if reader in NIBABEL_READERS:
        if path.name.lower().endswith(".gz") and not is_gzip(path):
            raise VolumeError("D045", _refused(name, reader, "it is not compressed although its name ends in .gz"))
        placement = _nibabel_placement(path, name, is_reoriented=reader == NIBABEL_READERS[1])
        _refuse_ignored_unit(name, header, reader)
    else:
        if int(header["sizeof_hdr"]) != 348:
            raise VolumeError("D045", _refused(name, reader, "it is NIfTI-2, which SimpleITK does not open", "NIfTI-1"))
        try:
            placement = itk_placement(path, name, reader, image_io="NiftiImageIO")
        except ItkRefusal:
            raise VolumeError("D045", _refused(name, reader, _why_refused(header))) from None
    return placement


class ItkRefusal(Exception):  # noqa: N818 (an answer of the library's, which the caller puts into words)
    """SimpleITK does not take a header; its own words, which may quote the file, are not kept."""


def itk_placement(path: Path, name: str, reader: str, image_io: str = "") -> Placement:
    """Returns where a reader that uses SimpleITK puts the voxels of a file of any format.

    Args:
        path: The file.
        name: How messages call it.
        reader: One of `ITK_READERS`.
        image_io: ITK's name of the format, where it is known; else ITK tries one after the other, which takes longer.

    Raises:
        ItkRefusal: SimpleITK does not read it.
        VolumeError: As `nifti_placement`; more than one number a voxel is D046.
    """
    import SimpleITK

    try:
        open_regular(path).close()
    except OSError:
        raise ItkRefusal from None
    # What ITK would print about a header comes as a finding.
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    information = SimpleITK.ImageFileReader()
    information.SetFileName(str(path))
    information.SetImageIO(image_io)
    try:
        with ITK_READING:
            information.ReadImageInformation()
    except RuntimeError:
        raise ItkRefusal from None
    if not image_io:
        refuse_oversized_image(path, name, information)
    n_axes = information.GetDimension()
    shape = tuple(int(n) for n in information.GetSize())
    if n_axes not in (2, 3) or information.GetNumberOfComponents() > 1:
        raise _wrong_axes(name, shape)
    spacing = np.array(information.GetSpacing())
    direction = np.reshape(information.GetDirection(), (n_axes, n_axes)) * np.where(spacing < 0, -1.0, 1.0)
    _refuse_nonsense(name, np.abs(spacing), np.array([*direction.flat, *information.GetOrigin()]))
    if not np.linalg.det(direction):
        raise ItkRefusal
    found = _itk_placement(shape, np.abs(spacing), np.array(information.GetOrigin()), direction)
    return _reoriented(found, direction) if reader == ITK_READERS[1] else found


def affine_of_itk(spacing_mm: Sequence[float], origin_mm: Sequence[float], direction: Sequence[float]) -> np.ndarray:
    """Returns the 4 x 4 matrix from voxel index to world, in NIfTI's world axes, of what SimpleITK says of an image."""
    n_axes = len(spacing_mm)
    affine = np.eye(4)
    affine[:n_axes, :n_axes] = np.reshape(direction, (n_axes, n_axes)) * np.asarray(spacing_mm)
    affine[:n_axes, 3] = origin_mm
    turned: np.ndarray = _LPS_TO_RAS @ affine
    return turned


def _itk_placement(shape: tuple[int, ...], spacing: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> Placement:
    spacing_mm = tuple(float(mm) for mm in spacing)
    return Placement(shape, spacing_mm, affine_of_itk(spacing_mm, origin.tolist(), direction.ravel().tolist()))


def _reoriented(found: Placement, direction: np.ndarray) -> Placement:
    """Returns the placement after `SimpleITK.DICOMOrient`; what that does shows on an image of a few voxels."""
    import SimpleITK

    sizes = (2, 3, 4)[: len(found.shape)]
    sample = SimpleITK.Image(sizes, SimpleITK.sitkUInt8)
    sample.SetDirection(direction.ravel().tolist())
    try:
        turned = SimpleITK.DICOMOrient(sample, "RAS")
    except RuntimeError:
        raise ItkRefusal from None
    order = [sizes.index(n) for n in turned.GetSize()]
    columns = np.reshape(turned.GetDirection(), direction.shape)
    axes = tuple((axis, bool(columns[:, n] @ direction[:, axis] < 0)) for n, axis in enumerate(order))
    return _rearranged(found, axes)


def _rearranged(found: Placement, axes: tuple[tuple[int, bool], ...]) -> Placement:
    to_file = np.zeros((4, 4))
    to_file[3, 3] = 1
    for new, (old, is_turned) in enumerate(axes):
        to_file[old, new] = -1 if is_turned else 1
        to_file[old, 3] = found.shape[old] - 1 if is_turned else 0
    return Placement(
        shape=tuple(found.shape[old] for old, _ in axes),
        spacing_mm=tuple(found.spacing_mm[old] for old, _ in axes),
        affine=found.affine @ to_file,
        axes=axes,
    )


def _nibabel_placement(path: Path, name: str, *, is_reoriented: bool) -> Placement:
    """Returns where a reader that uses nibabel puts the voxels of a NIfTI file."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.orientations import OrientationError, io_orientation
    from nibabel.spatialimages import HeaderDataError

    # What nibabel would print about a header comes as a finding.
    getLogger("nibabel.global").setLevel(CRITICAL)
    # It reads such a file all the same, and so does nnU-Net.
    warnings.filterwarnings("ignore", "Extension size is not a multiple of 16 bytes", UserWarning)
    axes: tuple[tuple[int, bool], ...] = ()
    try:
        image: Any = nibabel.load(path)
        if len(image.shape) != 3:
            raise _wrong_axes(name, image.shape)
        if is_reoriented:
            orientation = io_orientation(image.affine)
            # Of no voxel: what is turned is only their number.
            image = type(image)(np.broadcast_to(np.uint8(0), image.shape), image.affine, image.header)
            image = image.as_reoriented(orientation)
            axes = tuple((old, orientation[old, 1] < 0) for old in np.argsort(orientation[:, 0]).tolist())
    except (HeaderDataError, ImageFileError, OrientationError, np.linalg.LinAlgError, OSError, ValueError) as error:
        reason = f"nibabel says: {error}" if isinstance(error, HeaderDataError) else "nibabel cannot read it"
        raise VolumeError("D045", _refused(name, NIBABEL_READERS[is_reoriented], reason)) from None
    shape = tuple(int(n) for n in image.shape)
    zooms = np.array(image.header.get_zooms())
    _refuse_nonsense(name, zooms, np.asarray(image.affine))
    return Placement(shape, tuple(float(mm) for mm in zooms), np.asarray(image.affine, float), axes)


@np.errstate(all="ignore")
def refuse_unwritable_place(name: str, placement: Placement, reader: str) -> None:
    """Passes where a reader writes a prediction to the place from which it reads an image.

    Raises:
        VolumeError: It does not (D045): nibabel reads a file whose axes span no volume, and writes none.
    """
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    if reader not in NIBABEL_READERS:
        return
    try:
        # Of no voxel, and without the header, as nnU-Net writes a prediction.
        nibabel.Nifti1Image(np.broadcast_to(np.uint8(0), placement.shape), placement.affine)
    except (HeaderDataError, np.linalg.LinAlgError):  # the latter by an older nibabel
        raise VolumeError(
            "D045",
            f"{name} has axes that span no volume: two are one, or one has no length. {reader}, nnU-Net's reader of "
            "it, reads that, and cannot write a prediction there. Export it again.",
        ) from None


def _refuse_ignored_unit(name: str, header: Any, reader: str) -> None:
    if unit := UNITS.get(int(header["xyzt_units"]) & 7):
        raise VolumeError(
            "D076",
            f"{name} has its lengths in {unit} by its header (xyzt_units), which {reader}, nnU-Net's reader of it, "
            "takes for millimetres. Write the lengths in millimetres; or, for .nii.gz, let SimpleITKIO read the "
            "dataset, which converts them.",
        )


def _refuse_nonsense(name: str, spacing: np.ndarray, place: np.ndarray) -> None:
    if not np.isfinite(place).all():
        raise VolumeError(
            "D049",
            f"{name} has a header that makes no sense: its origin or direction is no number. Export it again.",
        )
    if not np.isfinite(spacing).all() or not (spacing > 0).all():
        shown = tuple(float(mm) for mm in spacing)
        raise VolumeError(
            "D042", f"{name} has the spacing {shown} mm; every axis needs a positive one. Export it again."
        )


def _wrong_axes(name: str, shape: tuple[int, ...]) -> VolumeError:
    return VolumeError(
        "D046",
        f"{name} has the shape {shape_text(shape)}; nnU-Net needs three axes and one number a voxel. Split channels or "
        "time points into one file each (`nnunet-assets import-dataset` does it for a Decathlon folder).",
    )


def _why_refused(header: Any) -> str:
    """Returns what is wrong with a header that SimpleITK refuses: as a rule, its axes."""
    columns = np.asarray(header.get_sform(), float)[:3, :3] if int(header["sform_code"]) else np.eye(3)
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all() or np.linalg.matrix_rank(columns) < 3:
        return "its sform is singular: two of its axes are one, or one has no length"
    cosines = np.abs((columns / lengths).T @ (columns / lengths) - np.eye(3)).max()
    return (
        "the axes of its sform are not perpendicular, they differ from a right angle by "
        f"{np.degrees(np.arcsin(min(cosines, 1))):.2g}°"
    )


def _refused(name: str, reader: str, why: str, form: str = "a grid with perpendicular axes") -> str:
    remedy = (
        f'Resample or convert the files of the case to {form}, or set "overwrite_image_reader_writer": "NibabelIO" in '
        "dataset.json, a reader that takes such files."
        if reader in ITK_READERS
        else "Export it again."
    )
    return f"{name} has a header that {reader}, nnU-Net's reader of it, refuses: {why}. {remedy}"
