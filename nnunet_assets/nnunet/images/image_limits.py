"""Images whose header promises more voxels than their file can hold, or the memory, in formats other than NIfTI.

ITK takes the memory that a header asks for before it looks whether the voxels are there, and a TIFF of a megabyte may
unpack to a thousand of them. NIfTI files have limits of
their own (`nifti`).
"""

import math
import warnings
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.nnunet.images.nifti import DEFLATE_LIMIT, VolumeError, most_voxel_bytes, shape_text

DEFLATED_ENDINGS = (".nrrd", ".mha", ".gipl")
"""Formats whose voxels are packed by DEFLATE, or not at all; a JPEG of one colour may hold more."""


GIPL_HEADER_BYTES = 256
"""Never packed; and of one that is cut, ITK fills up with what the memory held, other voxels at each reading."""


def refuse_oversized_image(path: Path, name: str, information: Any) -> None:
    """Passes where a file can hold the voxels that its header promises, and the memory too.

    Args:
        path: The file.
        name: How messages call it.
        information: SimpleITK's reader, which has read the header.

    Raises:
        VolumeError: It cannot (D047, D050).
    """
    import SimpleITK

    shape = tuple(int(n) for n in information.GetSize())
    one = SimpleITK.Image([1] * len(shape), information.GetPixelID())
    n_bytes = math.prod(shape) * one.GetSizeOfPixelComponent() * information.GetNumberOfComponents()
    _refuse_more_than_memory(name, shape, n_bytes)
    is_deflated = path.suffix.lower() in DEFLATED_ENDINGS and not _has_voxels_elsewhere(path)
    most = path.stat().st_size * DEFLATE_LIMIT
    if path.suffix.lower() == ".gipl":
        most = path.stat().st_size - GIPL_HEADER_BYTES
    if is_deflated and n_bytes > most:
        raise VolumeError(
            "D047",
            f"{name} is cut or damaged: its header promises {n_bytes} bytes of voxels, more than it can hold. Copy or "
            "export it again.",
        )


def refuse_oversized_raster(path: Path, name: str) -> None:
    """Passes where the memory holds the pixels that a TIFF, PNG or BMP promises, or where it promises none.

    Raises:
        VolumeError: It does not (D050).
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        shape, n_bytes = _promised_by_tiff(path)
    else:
        shape, n_bytes = _promised_by_photo(path)
    # In nnU-Net they are 32-bit floats.
    _refuse_more_than_memory(name, shape[::-1], max(n_bytes, 4 * math.prod(shape)) if shape else 0)


def _promised_by_tiff(path: Path) -> tuple[tuple[int, ...], int]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            return tuple(int(n) for n in series.shape), math.prod(series.shape) * series.dtype.itemsize
    except Exception:  # noqa: BLE001 (what a library raises on a damaged file is of many kinds; its reader says so)
        return (), 0


def _promised_by_photo(path: Path) -> tuple[tuple[int, ...], int]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                shape = (file.height, file.width, max(len(file.getbands()), 3 if file.mode == "P" else 1))
    except Exception:  # noqa: BLE001 (as above; one of more than 179 megapixels its library refuses)
        return (), 0
    return shape, math.prod(shape)


def _refuse_more_than_memory(name: str, shape: tuple[int, ...], n_bytes: int) -> None:
    if n_bytes > most_voxel_bytes():
        raise VolumeError(
            "D050",
            f"{name} has {shape_text(shape)} voxels by its header, {n_bytes / 1e9:.1f} GB: more than this machine's or "
            "container's memory has room for. Where the header is right, use a machine with more memory; else export "
            "it again.",
        )


def _has_voxels_elsewhere(path: Path) -> bool:
    """Tells whether a header names another file that holds the voxels, as NRRD and MetaImage allow."""
    with open_regular(path) as file:
        start = file.read(4096).lower()
    return b"data file:" in start or b"datafile:" in start or (b"elementdatafile" in start and b"local" not in start)
