"""What a step of nnU-Net's postprocessing does to a label image: of some labels only the largest component stays.

The masks are those of nnU-Net's own function, which a test holds against this one. It is not called, since it imports
torch, 14 s in a process that needs nothing else of it; and it looks at every voxel of an image, where this one looks at
the box round the labels.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.model.postprocessing_steps import Step

Voxels = NDArray[np.integer]

BACKGROUND = 0


def postprocessed(voxels: Voxels, steps: Sequence[Step]) -> Voxels:
    """Returns the label image after these steps, one after the other; the same array where they change nothing.

    Args:
        voxels: Whole numbers, two or three axes.
        steps: Those of `postprocessing.json`, in their order.
    """
    for step in steps:
        found = removed_by(voxels, step)
        if found is None:
            continue
        box, is_removed = found
        voxels = voxels.copy()
        voxels[box][is_removed] = BACKGROUND
    return voxels


def removed_by(voxels: Voxels, step: Step) -> tuple[tuple[slice, ...], NDArray[np.bool_]] | None:
    """Returns a box of the image and which of its voxels a step makes background; None: it changes nothing."""
    from scipy.ndimage import find_objects, generate_binary_structure, label

    is_wanted = np.isin(voxels, step)
    box = next(iter(find_objects(is_wanted.view(np.uint8))), None)
    if box is None:
        return None
    # Connected by faces, edges and corners.
    components, _ = label(is_wanted[box], generate_binary_structure(voxels.ndim, voxels.ndim))
    sizes = np.bincount(components.reshape(-1))
    sizes[0] = 0
    is_removed = sizes < sizes.max()  # of equally large ones all stay
    is_removed[0] = False
    return (box, is_removed[components]) if is_removed.any() else None
