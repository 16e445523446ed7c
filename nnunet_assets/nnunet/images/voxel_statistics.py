"""Numbers of one image's voxels: digest, distribution, counts by value. In blocks, so that no copy fills the memory."""

import hashlib
from collections.abc import Iterator

import numpy as np

from nnunet_assets.core.dataset.intake import Intensities
from nnunet_assets.nnunet.images.nifti import Volume

_BLOCK = 1 << 20
_SAMPLE = 200_000
"""Voxels that quantiles are taken of: more change the third digit at most and cost a sort of the whole image."""
_QUANTILES = (0.005, 0.25, 0.5, 0.75, 0.995)


def voxel_sha256(volume: Volume) -> str:
    """Returns the digest of shape and values, as 32-bit floats in the file's order.

    The same for a copy that is compressed otherwise, has another header, or stores its numbers in another type.
    """
    digest = hashlib.sha256(repr(volume.shape).encode())
    for block in _blocks(volume.stored.ravel(order="K")):
        with np.errstate(over="ignore", invalid="ignore"):
            digest.update(np.ascontiguousarray(_scaled(block, volume), dtype="<f4").data)
    return digest.hexdigest()


def intensities_of(volume: Volume) -> Intensities | None:
    """Returns the distribution of an image's finite voxels; None where there is none."""
    flat = volume.stored.ravel(order="K")
    ends = np.array([flat.min(), flat.max()])
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    if flat.dtype.kind == "f" and not np.isfinite(ends).all():
        flat = flat[np.isfinite(flat)]
        if not flat.size:
            return None
        ends, sample = np.array([flat.min(), flat.max()]), flat[:: max(1, flat.size // _SAMPLE)]
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.sort(_scaled(ends.astype(np.float64), volume))
        numbers = [low, *np.quantile(_scaled(sample.astype(np.float64), volume), _QUANTILES), high]
    if not np.isfinite(numbers).all():
        return None
    low, p00_5, q25, median, q75, p99_5, high = (float(number) for number in numbers)
    return Intensities(low, p00_5, q25, median, q75, p99_5, high)


def value_counts(values: np.ndarray) -> dict[float, int]:
    """Returns value to number of voxels, ascending."""
    flat = values.ravel(order="K")  # a view, where "C" order would copy
    if flat.dtype.kind in "iu" and flat.dtype.itemsize <= 2:
        # Counting is ten times as fast as sorting. The range of 16 bits is small enough for it.
        lowest = int(np.iinfo(flat.dtype).min)
        counts = np.zeros(1 << (8 * flat.dtype.itemsize), np.int64)
        for block in _blocks(flat):
            counts += np.bincount(block.astype(np.int32) - lowest, minlength=counts.size)
        return {int(index) + lowest: int(counts[index]) for index in np.flatnonzero(counts)}
    found, numbers = np.unique(flat, return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def _blocks(flat: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, flat.size, _BLOCK):
        yield flat[start : start + _BLOCK]


def _scaled(stored: np.ndarray, volume: Volume) -> np.ndarray:
    if (volume.slope, volume.intercept) == (1.0, 0.0):
        return stored
    return stored * volume.slope + volume.intercept
