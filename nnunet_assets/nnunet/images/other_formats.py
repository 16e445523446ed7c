"""Where nnU-Net's readers put the voxels of a file that is no NIfTI, from its header and the files beside it."""

from pathlib import Path

from nnunet_assets.nnunet.images.case_geometry import Geometry, geometry_of, placed
from nnunet_assets.nnunet.images.companion_files import tiff_spacing
from nnunet_assets.nnunet.images.image_reader import TIFF_READER, reads_nifti_here
from nnunet_assets.nnunet.images.nifti import ENDINGS, VolumeError, read_header, shape_text
from nnunet_assets.nnunet.images.reader_placement import (
    ITK_READERS,
    ItkRefusal,
    Placement,
    affine_of_itk,
    itk_placement,
)


def other_placement(path: Path, name: str, reader: str | None, sidecar: Path | None) -> Placement | None:
    """Returns where a reader puts the voxels; None: it does not show in a header, or the format has no place.

    Args:
        path: The file.
        name: How messages call it.
        reader: nnU-Net's reader of it.
        sidecar: Of a 3D TIFF, the file with its spacing; it need not be there.

    Raises:
        VolumeError: The reader refuses it (D045, D046), or its spacing is none (D042, D077).
    """
    if reader in ITK_READERS:
        return _of_itk(path, name, reader)
    if reader == TIFF_READER and sidecar is not None:
        return _of_tiff(path, name, sidecar)
    return None


def file_geometry(path: Path, reader: str) -> Geometry | None:
    """Returns where a reader puts the voxels of a file with a place of its own; None: the format has none.

    Raises:
        VolumeError: The reader refuses it.
    """
    if path.name.lower().endswith(ENDINGS) and reads_nifti_here(reader, ENDINGS[0]):
        return geometry_of(path, read_header(path), path.name, reader)
    placement = other_placement(path, path.name, reader, None)
    return placed(path.name, placement) if placement else None


def _of_itk(path: Path, name: str, reader: str) -> Placement | None:
    try:
        return itk_placement(path, name, reader)
    except ItkRefusal:
        raise VolumeError(
            "D045",
            f"{name} is refused by SimpleITK, with which nnU-Net reads it: it is damaged or no such image, a file "
            "beside it is missing, or its axes are not perpendicular. Export it again, on a grid with perpendicular "
            "axes.",
        ) from None
    except VolumeError as error:
        if error.code == "D046":  # channels on a fourth axis or as colours: nnU-Net's own check looks at these
            return None
        raise


def _of_tiff(path: Path, name: str, sidecar: Path) -> Placement:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            shape = tuple(int(n) for n in file.series[0].shape)
    except Exception:  # noqa: BLE001 (what a library raises on a damaged file is of many kinds)
        raise VolumeError("D049", f"{name} cannot be read as TIFF. Copy or export it again.") from None
    if len(shape) != 3:
        raise VolumeError(
            "D046",
            f"{name} has the shape {shape_text(shape[::-1])}; nnU-Net's reader of 3D TIFFs needs three axes. Split "
            "channels or time points into one file each.",
        )
    spacing_mm = (tiff_spacing(sidecar, name) or (1.0, 1.0, 1.0))[::-1]
    return Placement(shape[::-1], spacing_mm, affine_of_itk(spacing_mm, (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1)))
