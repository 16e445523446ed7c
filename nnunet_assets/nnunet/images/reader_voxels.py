"""The voxels of a file that is no NIfTI, by the library with which nnU-Net's reader opens it; or a plain refusal.

What these libraries say of a file that they cannot read may quote it: tifffile its first bytes, NRRD a line. A file
that is no image is somebody's own, `/etc/passwd` behind a link, and nothing of it goes into a message.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnunet_assets.nnunet.images.image_limits import refuse_oversized_raster
from nnunet_assets.nnunet.images.image_reader import PHOTO_READER, TIFF_READER
from nnunet_assets.nnunet.images.nifti import VolumeError, most_voxel_bytes
from nnunet_assets.nnunet.images.reader_placement import ITK_READERS, ITK_READING

_BYTES = 4
"""Of a voxel, in nnU-Net's 32-bit floats."""


@dataclass(frozen=True)
class PlainVoxels:
    """Voxels as they are, without a slope.

    Attributes:
        stored: Axes (X, Y, Z) or (X, Y), in the file's own number type.
    """

    stored: np.ndarray
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along X, Y, Z."""
        return self.stored.shape


def read_voxels(path: Path, name: str, reader: str | None, shape: Sequence[int] = ()) -> PlainVoxels | None:
    """Returns the voxels; None: the file holds several numbers a voxel, or another reader opens it.

    Args:
        path: The file.
        name: How messages call it.
        reader: nnU-Net's reader of it.
        shape: What its header promises; empty: nothing is known before.

    Raises:
        VolumeError: It cannot be read (D049), or is too large for this machine (D050).
    """
    if shape and _BYTES * math.prod(shape) > (most := most_voxel_bytes()):
        raise VolumeError(
            "D050",
            f"{name} has {math.prod(shape) / 1e9:.1f} billion voxels by its header, more than this machine's or "
            f"container's memory has room for ({most / 1e9:.1f} GB a file). Look whether its header is right; crop or "
            "resample the image, or take it away.",
        )
    if reader in (PHOTO_READER, TIFF_READER):
        refuse_oversized_raster(path, name)
    try:
        voxels = _read(path, reader)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (what a library raises on a damaged file is of many kinds)
        raise VolumeError("D049", unreadable(name, error)) from None
    # The last axis of three of a photo are its colours.
    if voxels is None or voxels.ndim > (2 if reader == PHOTO_READER else 3) or not voxels.size:
        return None
    return PlainVoxels(voxels.T) if voxels.dtype.kind in "biuf" else None


def unreadable(name: str, error: Exception) -> str:
    """Returns that a file cannot be read, in words that hold nothing of it."""
    why = error.strerror if isinstance(error, OSError) else None
    return (
        f"{name} cannot be read by the library with which nnU-Net opens it ({why or type(error).__name__}): it is "
        "damaged, or no such image. Copy or export it again."
    )


def _read(path: Path, reader: str | None) -> np.ndarray | None:
    if reader in ITK_READERS:
        import SimpleITK

        with ITK_READING:
            image = SimpleITK.ReadImage(str(path))
        return np.asarray(SimpleITK.GetArrayFromImage(image))
    if reader == TIFF_READER:
        import tifffile

        return np.asarray(tifffile.imread(path))
    if reader == PHOTO_READER:
        from skimage import io

        return np.asarray(io.imread(path))
    return None
