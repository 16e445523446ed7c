"""What a NIfTI header says twice, and differently: sform and qform, voxel sizes and sform; and sizes that are none.

What nnU-Net's reader takes of it is used everywhere, whatever is found here; another program may take the other.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from nnunet_assets.nnunet.images.reader_placement import Placement

SAME_SPACING = 1e-3
"""Voxel sizes that differ by less, relatively, are rounded otherwise."""
SAME_PLACE_VOXELS = 0.1
"""So much of the smallest voxel a corner may differ: a qform keeps its rotation in three numbers of 32 bits."""


def header_findings(name: str, header: Any, taken: Placement) -> list[tuple[str, str]]:
    """Returns code and message of what a header leaves open.

    Args:
        name: How messages call the file.
        header: nibabel's, as it stands in the file.
        taken: What nnU-Net's reader makes of it.
    """
    with np.errstate(all="ignore"):  # numbers that are none are what is looked for
        return list(_findings(name, header, taken))


def _findings(name: str, header: Any, taken: Placement) -> Iterator[tuple[str, str]]:
    reads = (
        f"nnU-Net reads a spacing of {_text(taken.spacing_mm)} mm and the origin {_text(taken.affine[:3, 3])} mm, and "
        "so does all that is shown here."
    )
    n_axes = min(len(header.get_data_shape()), 3)
    sizes = np.array(header["pixdim"][1 : n_axes + 1], float)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        yield (
            "D045",
            f"{name} has the voxel sizes {_text(sizes)} in its header (pixdim), which are no sizes. {reads} Look "
            "whether that is right, and export it again if not.",
        )
    elif difference := _difference(header, sizes, n_axes):
        yield (
            "D044",
            f"{name}: {difference}. {reads} Other programs may take the other; look which one is right, and write it "
            "into both.",
        )


def _difference(header: Any, sizes: np.ndarray, n_axes: int) -> str | None:
    """Returns in which way a header contradicts itself; None: it does not."""
    sform, qform = _sform(header), _qform(header)
    if sform is None:
        return None
    lengths = np.linalg.norm(sform[:3, :n_axes], axis=0)
    if not lengths.all() or np.linalg.matrix_rank(sform[:3, :3]) < 3:
        return "its sform is singular, two of its axes are one, or one has no length"
    if (np.abs(lengths - sizes) > SAME_SPACING * sizes).any():
        return f"its sform has voxels of {_text(lengths)}, its pixdim has {_text(sizes)}"
    if qform is None:
        return None
    shape = (*header.get_data_shape(), 1, 1)[:3]
    corners = np.array([[x, y, z, 1] for x in (0, shape[0] - 1) for y in (0, shape[1] - 1) for z in (0, shape[2] - 1)])
    apart = np.linalg.norm((corners @ (sform - qform).T)[:, :3], axis=1).max()
    if apart <= SAME_PLACE_VOXELS * lengths.min():
        return None
    origins = np.linalg.norm(sform[:3, 3] - qform[:3, 3])
    cosines = np.sum(sform[:3, :n_axes] * qform[:3, :n_axes], axis=0) / np.maximum(
        lengths * np.linalg.norm(qform[:3, :n_axes], axis=0), np.finfo(float).tiny
    )
    degrees = np.degrees(np.arccos(np.clip(cosines, -1, 1))).max()
    return (
        f"its sform and its qform put the voxels up to {apart:.3g} apart, the origin {origins:.3g} and {degrees:.3g}°"
    )


def _sform(header: Any) -> np.ndarray | None:
    form = np.asarray(header.get_sform(), float)
    return form if int(header["sform_code"]) > 0 and np.isfinite(form).all() else None


def _qform(header: Any) -> np.ndarray | None:
    from nibabel.spatialimages import HeaderDataError

    sane = header.copy()
    sane["pixdim"][1:4] = np.abs(sane["pixdim"][1:4])
    try:
        form = np.asarray(sane.get_qform(), float)
    except (HeaderDataError, ValueError):  # a quaternion that is none
        return None
    return form if int(header["qform_code"]) > 0 and np.isfinite(form).all() else None


def _text(values: Any) -> str:
    return " × ".join(f"{float(value):.6g}" for value in values)
