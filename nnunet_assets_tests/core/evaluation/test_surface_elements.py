"""Surface elements worked out by hand, on voxels of three different sides, so that swapped axes fail."""

import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnunet_assets.core.evaluation.case_metrics import case_metrics, mask_metrics
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.core.evaluation.surface_elements import element_areas, surface_elements

SPACING_MM = (5.0, 2.0, 1.0)
"""(z, y, x)."""
CORNER = math.sqrt((2.5 * 1) ** 2 + (1 * 0.5) ** 2 + (2.5 * 0.5) ** 2) / 2
"""Area of the triangle that cuts a corner off: through the middles of three edges of 5, 2 and 1 mm."""
ORGAN = LabelRule(values=(1,), nsd_tolerance_mm=2.0)


def box(z: slice, y: slice, x: slice) -> np.ndarray:
    mask = np.zeros((6, 8, 10), bool)
    mask[z, y, x] = True
    return mask


def area(mask: np.ndarray, spacing_mm: Any = SPACING_MM) -> float:
    return float(surface_elements(mask, spacing_mm)[1].sum())


class TestAreas:
    def test_a_voxel_is_eight_corners_that_are_cut_off(self) -> None:
        points, areas = surface_elements(box(slice(1, 2), slice(1, 2), slice(1, 2)), SPACING_MM)
        assert areas == pytest.approx([CORNER] * 8)
        # They lie where voxels meet: two along each axis, a voxel apart.
        assert np.ptp(points, axis=0).tolist() == list(SPACING_MM)

    def test_a_box_has_flat_faces_cut_edges_and_cut_corners(self) -> None:
        # 2 x 3 x 4 voxels: on a face of n x m voxels (n - 1) (m - 1) elements are flat, on an edge of n n - 1 are cut.
        faces = 2 * (2 * 3 * 2 + 1 * 3 * 5 + 1 * 2 * 10)  # of 2 mm² across z, 5 mm² across y, 10 mm² across x
        edges = 4 * (1 * 5 * math.hypot(1, 0.5) + 2 * 2 * math.hypot(2.5, 0.5) + 3 * 1 * math.hypot(2.5, 1))
        found = area(box(slice(1, 3), slice(1, 4), slice(1, 5)))
        assert found == pytest.approx(faces + edges + 8 * CORNER)

    def test_a_plane_has_contours_with_a_length(self) -> None:
        # 3 x 4 pixels of 2 x 1 mm.
        found = area(np.pad(np.ones((3, 4), bool), 2), (2.0, 1.0))
        assert found == pytest.approx(2 * (2 * 2 + 3 * 1) + 4 * math.hypot(1, 0.5))
        assert element_areas((2.0,)).tolist() == [0, 1, 1, 0]

    def test_the_images_border_is_outside(self) -> None:
        assert area(np.ones((2, 3, 4), bool)) == pytest.approx(area(box(slice(1, 3), slice(1, 4), slice(1, 5))))

    @pytest.mark.parametrize("n_axes", [1, 2, 3])
    def test_a_neighbourhood_and_its_complement_share_their_surface(self, n_axes: int) -> None:
        areas = element_areas(SPACING_MM[:n_axes])
        assert areas.tolist() == areas[::-1].tolist()
        assert np.flatnonzero(areas == 0).tolist() == [0, len(areas) - 1]

    def test_a_ball_of_voxels_is_rough_and_a_twelfth_larger_than_a_sphere(self) -> None:
        z, y, x = np.ogrid[-31:32, -31:32, -31:32]
        # Counted by the faces of its voxels it would be half as large again.
        assert area(z**2 + y**2 + x**2 <= 30**2, (1, 1, 1)) == pytest.approx(1.086 * 4 * math.pi * 30**2, rel=0.005)

    @settings(max_examples=40, deadline=None)
    @given(hnp.arrays(bool, (4, 3, 5)), st.sampled_from(list(permutations(range(3)))), st.tuples(*[st.booleans()] * 3))
    def test_turned_and_mirrored_masks_have_the_same_area(self, mask: Any, axes: Any, mirrored: Any) -> None:
        turned = np.flip(mask.transpose(axes), tuple(axis for axis in range(3) if mirrored[axis]))
        assert area(turned, [SPACING_MM[axis] for axis in axes]) == pytest.approx(area(mask))


class TestMetrics:
    PLATE = box(slice(2, 3), slice(1, 4), slice(1, 5))
    HIGHER = box(slice(3, 4), slice(1, 4), slice(1, 5))

    def test_of_plates_one_slice_apart_touch_where_voxels_are_all_five_mm_apart(self) -> None:
        # Elements lie at the lower and the upper side of each plate; the one's upper side is the other's lower side.
        found = mask_metrics(self.PLATE, self.HIGHER, SPACING_MM, ORGAN)
        assert (found.nsd_surface, found.nsd) == (pytest.approx(0.5), 0.0)
        assert (found.assd_surface_mm, found.assd_mm) == (pytest.approx(2.5), pytest.approx(5.0))
        assert (found.hausdorff95_surface_mm, found.hd95_mm) == (5.0, 5.0)

    def test_count_by_area(self) -> None:
        # Prediction: the plate, and a voxel of its own 5 pixels of 1 mm to the right of the plate's last.
        speck = box(slice(2, 3), slice(1, 2), slice(9, 10))
        prediction = self.PLATE | speck
        plate, alone = area(self.PLATE), 8 * CORNER
        found = mask_metrics(self.PLATE, prediction, SPACING_MM, ORGAN)
        assert found.nsd_surface == pytest.approx(2 * plate / (2 * plate + alone))
        # The voxel's elements lie 4 and 5 mm to the right of the plate's side, half of its area each.
        assert found.assd_surface_mm == pytest.approx(alone * 4.5 / (2 * plate + alone))
        # More than 5 % of the prediction's area is the voxel's, and less than 5 % the half that is 5 mm off.
        assert alone / 2 < 0.05 * (plate + alone) < alone
        assert found.hausdorff95_surface_mm == 4.0

    def test_95_percent_are_those_of_the_area(self) -> None:
        # A plate of 12 x 40 voxels and a speck: of 41 x 13 x 2 places 8 are the speck's, and less than 5 % of the area.
        shape = (6, 20, 50)
        plate = np.zeros(shape, bool)
        plate[2, 2:14, 2:42] = True
        prediction = plate.copy()
        prediction[2, 2, 48] = True
        assert mask_metrics(plate, prediction, SPACING_MM, ORGAN).hausdorff95_surface_mm == 0.0

    def test_equal_masks_and_empty_ones_are_as_by_voxels(self) -> None:
        nothing = np.zeros_like(self.PLATE)
        same, missed, none = (
            mask_metrics(reference, prediction, SPACING_MM, ORGAN)
            for reference, prediction in ((self.PLATE, self.PLATE), (self.PLATE, nothing), (nothing, nothing))
        )
        assert (same.hausdorff95_surface_mm, same.assd_surface_mm, same.nsd_surface) == (0.0, 0.0, 1.0)
        assert (missed.hausdorff95_surface_mm, missed.assd_surface_mm, missed.nsd_surface) == (None, None, 0.0)
        assert (none.hausdorff95_surface_mm, none.assd_surface_mm, none.nsd_surface) == (None, None, None)

    def test_an_image_of_one_slice_has_contours(self) -> None:
        image = np.zeros((1, 7, 7), np.uint8)
        moved = image.copy()
        image[0, 1:5, 1:5] = moved[0, 1:5, 2:6] = 1
        policy = MetricPolicy({"organ": ORGAN}, (0, 1))
        found = case_metrics(image, moved, SPACING_MM, policy)["organ"]
        flat = case_metrics(image[0], moved[0], SPACING_MM[1:], policy)["organ"]
        assert 0 < found.assd_surface_mm < 1
        assert (flat.assd_surface_mm, flat.nsd_surface) == (found.assd_surface_mm, found.nsd_surface)

    def test_the_diagonal_is_that_of_the_image_along_its_axes(self) -> None:
        policy = MetricPolicy({"organ": ORGAN}, (0, 1))
        empty = np.zeros((3, 4, 5), np.uint8)
        found = case_metrics(empty, empty, SPACING_MM, policy)["organ"]
        assert found.image_diagonal_mm == pytest.approx(math.sqrt(15**2 + 8**2 + 5**2))
        flat = case_metrics(empty[:1], empty[:1], SPACING_MM, policy)["organ"]
        assert flat.image_diagonal_mm == pytest.approx(math.hypot(8, 5))

    @settings(max_examples=60, deadline=None)
    @given(hnp.arrays(bool, (3, 4, 4)), hnp.arrays(bool, (3, 4, 4)), st.floats(0.5, 12))
    def test_they_are_what_every_pair_of_elements_says(
        self, reference: Any, prediction: Any, tolerance_mm: Any
    ) -> None:
        found = mask_metrics(reference, prediction, SPACING_MM, LabelRule((1,), tolerance_mm))
        if not (reference.any() and prediction.any()):
            assert found.hausdorff95_surface_mm is None
            return
        (ours, our_areas), (theirs, their_areas) = (surface_elements(m, SPACING_MM) for m in (reference, prediction))
        pairs = np.linalg.norm(ours[:, None] - theirs[None], axis=2)
        to_theirs, to_ours = pairs.min(axis=1), pairs.min(axis=0)
        whole = our_areas.sum() + their_areas.sum()
        assert found.assd_surface_mm == pytest.approx((to_theirs @ our_areas + to_ours @ their_areas) / whole)
        within = our_areas[to_theirs <= tolerance_mm].sum() + their_areas[to_ours <= tolerance_mm].sum()
        assert found.nsd_surface == pytest.approx(within / whole)
        # Not more than 5 % of either surface's area is farther away than HD95.
        for distances, areas in ((to_theirs, our_areas), (to_ours, their_areas)):
            assert areas[distances > found.hausdorff95_surface_mm + 1e-9].sum() <= (0.05 + 1e-9) * areas.sum()
