"""What shows only beside other images: doubles, single slices, and what the training images were."""

from dataclasses import replace

import pytest

from nnunet_assets.core.model.model_description import ExpectedChannel, ExpectedImages
from nnunet_assets.nnunet.cases.case_check import CaseFacts
from nnunet_assets.nnunet.images.case_geometry import Geometry
from nnunet_assets.nnunet.new_images.compared_images import comparison_findings

VOLUMES = ExpectedImages(
    ".nii.gz", (ExpectedChannel("CT", "", None, None, None, None),), (1.0, 1.0, 1.0), None, (2.0, 2.0, 2.0), 5
)
PLANES = replace(VOLUMES, spacing_low=(999.0, 1.0, 1.0), spacing_high=(999.0, 1.0, 1.0))


def facts(case: str, *digests: str, shape: tuple[int, ...] = (9, 8, 7)) -> CaseFacts:
    identity = tuple(tuple(float(row == column) for column in range(4)) for row in range(4))
    geometry = Geometry(f"{case}.nii.gz", shape, (1.0,) * len(shape), identity)
    return CaseFacts(case, digests, None, voxel_sha256=digests, geometry=geometry, are_voxels_read=True)


def test_images_that_are_the_same_are_named_once() -> None:
    found = list(comparison_findings([facts("a", "1"), facts("b", "2"), facts("c", "1"), facts("d", "1")], VOLUMES))
    assert [finding.message.split(" have")[0] for finding in found] == ["The cases a, c, d"]
    (found_twice,) = comparison_findings([facts("a", "1", "1"), facts("b", "2", "3")], VOLUMES)
    assert "Two channels of case 'a' hold the same voxels" in found_twice.message


@pytest.mark.parametrize(
    ("shape", "is_plane"), [((9, 8), True), ((9, 8, 1), True), ((1, 9, 8), True), ((9, 8, 2), False)]
)
def test_a_single_slice_is_named_where_the_model_knows_volumes(shape: tuple[int, ...], is_plane: bool) -> None:
    found = list(comparison_findings([facts("a", "1", shape=shape)], VOLUMES))
    assert ["is one slice" in finding.message for finding in found] == [True] * is_plane
    assert not any("is one slice" in one.message for one in comparison_findings([facts("a", "1", shape=shape)], PLANES))


# Rows to the world, which NIfTI has as RAS: the file's axes lead left, posterior, superior.
LPS_AXES = ((-1.0, 0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("of_training", "is_odd"),
    [(("RAS",), True), (("LPS",), False), (("RAS", "LPS"), False), ((), False), (("RA",), False)],
)
def test_an_image_that_lies_otherwise_than_every_training_image_is_named(
    of_training: tuple[str, ...], is_odd: bool
) -> None:
    case = facts("a", "1")
    turned = replace(case, geometry=Geometry("a.nii.gz", (9, 8, 7), (1.0, 1.0, 1.0), LPS_AXES))
    found = list(comparison_findings([turned], replace(VOLUMES, orientations=of_training)))
    assert [finding.code for finding in found] == ["D081"] * is_odd
    if is_odd:
        assert "Case 'a' is stored along LPS, and the training images along RAS." in found[0].message
        assert "Reorient it to RAS" in found[0].message
