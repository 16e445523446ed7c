"""How much memory and disk the cases of a dataset take when nnU-Net preprocesses them."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PROCESS_BYTES = 800 * 1024**2
"""A process that has loaded torch and nnU-Net; measured."""

VOXEL_BYTES, CHANNEL_BYTES = 50, 8
"""The peak of nnU-Net's preprocessor per voxel, and more of it per voxel and channel.

Measured on 1 and 3 channels, resampled to 0.34, 1 and 2.7 times the voxels, half of them foreground: 45 to 54 bytes per
voxel of the larger of the two images with one channel, 64 and 65 with three. Most of it are float64 copies of one
channel, and the places of the foreground voxels."""

SAVED_BYTES = 0.25
"""Bytes on the disk per voxel and channel that a preprocessed case has at the very least; it is compressed float32.

Measured, images alone: 2.0 to 3.5; 2.0 are the hippocampi of the Medical Segmentation Decathlon."""

USUAL_BYTES = (2.0, 3.5)
"""What was measured, likewise."""

_MUCH_COARSER = 3.0
"""nnU-Net's `anisotropy_threshold`: an axis so many times coarser, and with so many times fewer voxels, is refined."""

Size = tuple[Sequence[float], Sequence[float]]
"""Shape of a case in voxels and its spacing in mm, by axis."""


def fitting_processes(free_bytes: int, largest_case_bytes: int) -> int:
    """Returns how many processes may preprocess at once; one always may."""
    return max(1, free_bytes // (PROCESS_BYTES + largest_case_bytes))


def largest_case_bytes(fingerprint: Mapping[str, Any], plans: Mapping[str, Any], plan: Mapping[str, Any]) -> int:
    """Returns about how much memory the largest case takes at its peak.

    Args:
        fingerprint: nnU-Net's, with the shape (voxels) and the spacing (mm) of each case, axes as nnU-Net reads them.
        plans: The whole plans.
        plan: The configuration's; its spacing is in the transposed order, and has two axes in 2D.
    """
    # Read whole, then cropped; the fingerprint has the shapes after that.
    kept = max(fingerprint["median_relative_size_after_cropping"], 0.01)
    n_read = max((math.prod(shape) for shape in fingerprint["shapes_after_crop"]), default=0) / kept
    n_voxels: float = max([n_read, *_voxels_made(fingerprint, plans, plan)])
    return round(n_voxels * (VOXEL_BYTES + CHANNEL_BYTES * _n_channels(fingerprint)))


def least_saved_bytes(fingerprint: Mapping[str, Any], plans: Mapping[str, Any], plan: Mapping[str, Any]) -> int:
    """Returns what all preprocessed cases certainly take on the disk; as a rule they take several times as much."""
    return round(sum(_voxels_made(fingerprint, plans, plan)) * _n_channels(fingerprint) * SAVED_BYTES)


def usual_saved_bytes(n_voxels: float, n_channels: int) -> tuple[int, int]:
    """Returns between what and what so many preprocessed voxels take on the disk, with as many channels."""
    least, most = (round(n_voxels * n_channels * n) for n in USUAL_BYTES)
    return least, most


def planned_voxels(fingerprint: Mapping[str, Any], plans: Mapping[str, Any], plan: Mapping[str, Any]) -> float:
    """Returns how many voxels all cases have once they are preprocessed for a configuration that is planned."""
    return sum(_voxels_made(fingerprint, plans, plan))


def unplanned_voxels(sizes: Sequence[Size], configuration: str) -> float | None:
    """Returns how many voxels all cases would have, before any is cropped, in a configuration that nobody planned yet.

    Args:
        sizes: Of every case, with as many axes.
        configuration: Its name; of those that are neither 2D nor of the full resolution the planner alone knows: None.
    """
    if not sizes or not configuration.startswith(("2d", "3d_fullres", "3d_cascade_fullres")):
        return None
    target = target_spacing(sizes)
    if configuration.startswith("2d"):  # the coarsest axis lies across the slices, which stay as they are
        across = target.index(max(target))
        return sum(
            math.prod(shape)
            * math.prod(mm / new for axis, (mm, new) in enumerate(zip(spacing, target, strict=True)) if axis != across)
            for shape, spacing in sizes
        )
    return sum(math.prod(shape) * _growth(spacing, target) for shape, spacing in sizes)


def target_spacing(sizes: Sequence[Size]) -> list[float]:
    """Returns what nnU-Net's planner resamples to, in mm by axis: the median, and less where one axis is much coarser.

    As `determine_fullres_target_spacing` of its planners, which a test holds against this.
    """
    shape, target = (
        [statistics.median(axis) for axis in zip(*values, strict=True)] for values in zip(*sizes, strict=True)
    )
    coarsest = target.index(max(target))
    others = [axis for axis in range(len(target)) if axis != coarsest]
    finest = max(target[axis] for axis in others)
    fewest = min(shape[axis] for axis in others)
    if target[coarsest] > _MUCH_COARSER * finest and shape[coarsest] * _MUCH_COARSER < fewest:
        tenth = _percentile([spacing[coarsest] for _, spacing in sizes], 0.1)
        target[coarsest] = tenth if tenth >= finest else finest
    return target


def _percentile(values: Iterable[float], part: float) -> float:
    """Returns the value below which a part of them lies, between its neighbours as numpy has it."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = int(place)
    return ordered[below] + (place - below) * (ordered[min(below + 1, len(ordered) - 1)] - ordered[below])


def _n_channels(fingerprint: Mapping[str, Any]) -> int:
    return len(fingerprint["foreground_intensity_properties_per_channel"])


def _voxels_made(fingerprint: Mapping[str, Any], plans: Mapping[str, Any], plan: Mapping[str, Any]) -> list[float]:
    """Returns how many voxels each case has after it was cropped and resampled."""
    return [
        math.prod(shape) * _growth([spacing[axis] for axis in plans["transpose_forward"]], plan["spacing"])
        for shape, spacing in zip(fingerprint["shapes_after_crop"], fingerprint["spacings"], strict=True)
    ]


def _growth(spacing: Sequence[float], target: Iterable[float]) -> float:
    """Returns how many voxels resampling makes of one; in 2D the distance of the slices stays."""
    return math.prod(old / new for old, new in zip(reversed(spacing), reversed(list(target)), strict=False))
