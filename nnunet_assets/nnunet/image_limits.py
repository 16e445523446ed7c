"""Images whose header promises more voxels than their file can hold, or the memory, in the formats of SimpleITK.

ITK takes the memory that a header asks for before it looks whether the voxels are there. NIfTI files have limits of
their own (`nifti`).
"""

import math
from pathlib import Path
from typing import Any

from nnunet_assets.nnunet.nifti import DEFLATE_LIMIT, VolumeError, most_voxel_bytes, shape_text

DEFLATED_ENDINGS = (".nrrd", ".mha", ".gipl")
"""Formats whose voxels are packed by DEFLATE, or not at all; a JPEG of one colour may hold more."""


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
    if n_bytes > most_voxel_bytes():
        raise VolumeError(
            "D050",
            f"{name} has {shape_text(shape)} voxels by its header, {n_bytes / 1e9:.1f} GB: more than this machine's or "
            "container's memory has room for. Where the header is right, use a machine with more memory; else export "
            "it again.",
        )
    is_deflated = path.suffix.lower() in DEFLATED_ENDINGS and not _has_voxels_elsewhere(path)
    if is_deflated and n_bytes > path.stat().st_size * DEFLATE_LIMIT:
        raise VolumeError(
            "D047",
            f"{name} is cut or damaged: its header promises {n_bytes} bytes of voxels, more than it can hold. Copy or "
            "export it again.",
        )


def _has_voxels_elsewhere(path: Path) -> bool:
    """Tells whether a header names another file that holds the voxels, as NRRD and MetaImage allow."""
    with path.open("rb") as file:
        start = file.read(4096).lower()
    return b"data file:" in start or b"datafile:" in start or (b"elementdatafile" in start and b"local" not in start)
