"""The slice of a case that a figure shows, read from its files."""

from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.evaluation.case_slice import CaseSlice
from nnunet_assets.nnunet.cases.case_pictures import case_slice
from nnunet_assets_tests.raw_builders import tiny_json, write_json, write_volume

SPACING_MM = (1.0, 1.0, 3.0)
IGNORED = 3


def shown(folder: Path, predicted_origin_mm: tuple[float, float, float] = (0, 0, 0)) -> CaseSlice | None:
    """One voxel differs in slice 1, and a whole slice 4 that nobody annotated."""
    reference = np.zeros((6, 5, 7), np.uint8)
    reference[2:4, 2:4, 1:3] = 1
    predicted = reference.copy()
    predicted[2, 2, 1] = 2
    reference[:, :, 4] = IGNORED
    predicted[:, :, 4] = 1
    description = tiny_json(labels={"background": 0, "organ": 1, "lesion": 2, "ignore": IGNORED})
    return case_slice(
        write_volume(folder / "image.nii.gz", np.arange(210, dtype=np.float32).reshape(6, 5, 7), SPACING_MM),
        write_volume(folder / "reference.nii.gz", reference, SPACING_MM),
        write_volume(folder / "predicted.nii.gz", predicted, SPACING_MM, predicted_origin_mm),
        parse_dataset_json(write_json(folder / "dataset.json", description)),
        "a case",
    )


def test_voxels_that_nobody_annotated_are_no_difference(tmp_path: Path) -> None:
    found = shown(tmp_path)
    assert found is not None
    assert found.reference.sum() == 4
    assert found.predicted.sum() == 5  # one of its voxels is 2
    assert found.pixel_mm == pytest.approx((1.0, 1.0))


def test_a_prediction_that_lies_elsewhere_is_not_drawn_over_the_image(tmp_path: Path) -> None:
    assert shown(tmp_path, (40.0, 0.0, 0.0)) is None
