"""The slices that a figure shows of a case: image, reference and prediction, read from where nnU-Net keeps them."""

from pathlib import Path

from nnunet_assets.core.case_slice import CaseSlice, telling_slice
from nnunet_assets.core.dataset_json import DatasetDescription
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.case_files import voxels_are_checked
from nnunet_assets.nnunet.label_image import LabelImage, geometry_difference
from nnunet_assets.nnunet.nifti import read_volume


def case_slice(
    image: Path, reference: Path, predicted: Path, description: DatasetDescription, title: str
) -> CaseSlice | None:
    """Returns the slice in which reference and prediction differ most, across the axis with the thickest voxels.

    Ignored voxels are background in both, as where they are scored.

    Args:
        image: First channel.
        reference: Label image on the same grid.
        predicted: What the fold predicted, likewise.
        description: The dataset's dataset.json.
        title: Above the picture.

    Returns:
        None where the files are no NIfTI, cannot be read, or do not lie on one grid: a picture is no result.
    """
    import numpy as np

    if not voxels_are_checked(description):
        return None
    try:
        volumes = [read_volume(path) for path in (image, reference, predicted)]
    except DatasetError:
        return None
    arrays = [np.squeeze(volume.values()) for volume in volumes]
    if any(array.ndim != 3 for array in arrays):
        return None
    grids = [
        LabelImage(array.T, volume.spacing_mm[2::-1], volume.affine)
        for array, volume in zip(arrays, volumes, strict=True)
    ]
    if any(geometry_difference(grid, grids[0]) for grid in grids[1:]):
        return None
    if description.ignore_label is not None:
        is_annotated = arrays[1] != description.ignore_label
        arrays[1:] = [array * is_annotated for array in arrays[1:]]
    spacing = volumes[0].spacing_mm
    axis = int(np.argmax(spacing[:3]))
    # The last axis where several are equal: the slices that a scanner makes.
    axis = max(n for n in range(3) if spacing[n] == spacing[axis])
    index = telling_slice(arrays[1], arrays[2], axis)
    # Rows go along the later axis, so that the first (left to right) lies across.
    shown, labels, found = (np.take(array, index, axis).T[::-1] for array in arrays)
    across, along = [spacing[n] for n in range(3) if n != axis]
    return CaseSlice(title, shown, labels.astype(int), found.astype(int), (along, across))
