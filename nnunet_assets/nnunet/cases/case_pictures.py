"""The slices that a figure shows of a case: image, reference and prediction, read from where nnU-Net keeps them."""

from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.evaluation.case_slice import CaseSlice, telling_slice
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images.image_reader import dataset_reader, reads_nifti_here
from nnunet_assets.nnunet.images.label_image import LabelImage, geometry_difference
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.images.reader_placement import ITK_READERS, nifti_placement


def case_slice(
    image: Path, reference: Path, predicted: Path, description: DatasetDescription, title: str
) -> CaseSlice | None:
    """Returns the slice in which reference and prediction differ most, across the axis with the thickest voxels.

    Ignored voxels are background in both, as where they are scored.

    Args:
        image: First channel.
        reference: Label image on the same grid.
        predicted: What the fold predicted, likewise; the same file as `reference` where there is no other.
        description: The dataset's dataset.json.
        title: Above the picture.

    Returns:
        None where the files are no NIfTI, cannot be read, or do not lie on one grid: a picture is no result.
    """
    import numpy as np

    reader = dataset_reader(description.raw, image)
    if not reads_nifti_here(reader, description.file_ending):
        return None
    files = (image, reference, predicted)
    try:
        read = {path: read_volume(path, as_itk=reader in ITK_READERS) for path in dict.fromkeys(files)}
        volumes = [read[path] for path in files]
        placed = [
            nifti_placement(path, path.name, one.header, str(reader)) for path, one in zip(files, volumes, strict=True)
        ]
    except DatasetError:
        return None
    arrays = [placement.arranged(volume.values()) for placement, volume in zip(placed, volumes, strict=True)]
    if any(array.ndim != 3 for array in arrays):
        return None
    grids = [
        LabelImage(array.T, placement.spacing_mm[::-1], placement.affine)
        for array, placement in zip(arrays, placed, strict=True)
    ]
    if any(geometry_difference(grid, grids[0]) for grid in grids[1:]):
        return None
    if description.ignore_label is not None:
        is_annotated = arrays[1] != description.ignore_label
        arrays[1:] = [array * is_annotated for array in arrays[1:]]
    spacing = placed[0].spacing_mm
    axis = int(np.argmax(spacing))
    # The last axis where several are equal: the slices that a scanner makes.
    axis = max(n for n in range(3) if spacing[n] == spacing[axis])
    index = telling_slice(arrays[1], arrays[2], axis)
    # Rows go along the later axis, so that the first (left to right) lies across.
    shown, labels, found = (np.take(array, index, axis).T[::-1] for array in arrays)
    across, along = [spacing[n] for n in range(3) if n != axis]
    return CaseSlice(title, shown, labels.astype(int), found.astype(int), (along, across))
