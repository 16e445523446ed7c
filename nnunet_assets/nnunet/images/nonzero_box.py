"""The box to which nnU-Net crops a case: all that lies outside is 0 in every channel, and its labels are lost with it.

`nnunetv2.preprocessing.cropping` fills holes before it takes the box, which changes no box.
"""

import numpy as np

from nnunet_assets.nnunet.images.nifti import Volume
from nnunet_assets.nnunet.images.reader_voxels import PlainVoxels

Voxels = Volume | PlainVoxels


class NonzeroBox:
    """Takes the images of a case one by one, and then its label image, so that no two are in memory at once."""

    def __init__(self) -> None:
        self._shapes: set[tuple[int, ...]] = set()
        self._boxes: list[tuple[slice, ...]] = []

    def add_image(self, volume: Voxels) -> None:
        """Looks at an image."""
        self._shapes.add(volume.shape)
        box = _box(volume)
        if box is not None:
            self._boxes.append(box)

    def n_lost(self, label: Voxels) -> int:
        """Returns how many voxels of labels lie outside the box; none where images and label have not one shape.

        Images that are 0 throughout are not cropped.
        """
        if self._shapes != {label.shape} or not self._boxes:
            return 0
        box = tuple(
            slice(min(one.start for one in axis), max(one.stop for one in axis))
            for axis in zip(*self._boxes, strict=True)
        )
        if all(one == slice(0, n) for one, n in zip(box, label.shape, strict=True)):
            return 0
        is_label = _valued(label.stored, label) > 0
        return int(np.count_nonzero(is_label)) - int(np.count_nonzero(is_label[box]))


def _box(volume: Voxels) -> tuple[slice, ...] | None:
    """Returns the smallest box of all that is not 0; None: nothing is."""
    box = [slice(0, n) for n in volume.shape]
    for axis, n in enumerate(volume.shape):
        # From the borders inwards, so that an image that is not 0 there is hardly looked at.
        first = next((i for i in range(n) if _is_anything(volume, box, axis, i)), None)
        if first is None:
            return None
        last = next(i for i in range(n - 1, -1, -1) if _is_anything(volume, box, axis, i))
        box[axis] = slice(first, last + 1)
    return tuple(box)


def _is_anything(volume: Voxels, box: list[slice], axis: int, index: int) -> bool:
    place: tuple[slice | int, ...] = (*box[:axis], index, *box[axis + 1 :])
    plane: np.ndarray = volume.stored[place]
    return bool(_valued(plane, volume).any())  # NaN is not 0


def _valued(stored: np.ndarray, volume: Voxels) -> np.ndarray:
    if (volume.slope, volume.intercept) == (1.0, 0.0):
        return stored
    with np.errstate(over="ignore", invalid="ignore"):
        values: np.ndarray = stored * np.float64(volume.slope) + volume.intercept
    return values
