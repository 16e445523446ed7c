"""Metrics of masks worked out by hand, on voxels of three different sides, so that swapped axes fail."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnunet_assets.core.evaluation import case_metrics as module
from nnunet_assets.core.evaluation.case_metrics import (
    case_metrics,
    mask_metrics,
    surface_distances_mm,
    unknown_values,
    voxel_surface,
)
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy

SPACING_MM = (5.0, 2.0, 1.0)
"""(z, y, x)."""
ORGAN = LabelRule(values=(1,), nsd_tolerance_mm=2.0)


def box(z: slice, y: slice, x: slice, shape: tuple[int, ...] = (6, 8, 10)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[z, y, x] = True
    return mask


def voxel(z: int, y: int, x: int) -> np.ndarray:
    return box(slice(z, z + 1), slice(y, y + 1), slice(x, x + 1))


def voxel_distances_mm(reference: np.ndarray, prediction: np.ndarray, spacing_mm: Any) -> tuple[np.ndarray, np.ndarray]:
    return surface_distances_mm(voxel_surface(reference, spacing_mm)[0], voxel_surface(prediction, spacing_mm)[0])


def policy(values: int = 2, ignore: int | None = None, **rules: LabelRule) -> MetricPolicy:
    return MetricPolicy(rules or {"organ": ORGAN}, tuple(range(values)), ignore)


class TestOverlapAndVolume:
    def test_of_two_overlapping_boxes(self) -> None:
        # 2 x 2 x 4 = 16 voxels of reference, 2 x 2 x 2 = 8 of prediction, 4 of them inside.
        reference = box(slice(0, 2), slice(0, 2), slice(0, 4))
        prediction = box(slice(0, 2), slice(1, 3), slice(0, 2))
        found = mask_metrics(reference, prediction, SPACING_MM, ORGAN, voxel_ml=0.01)
        assert (found.dice, found.iou) == (8 / 24, 4 / 20)
        assert (found.sensitivity, found.precision) == (4 / 16, 4 / 8)
        assert (found.reference_voxels, found.prediction_voxels) == (16, 8)
        assert (found.reference_ml, found.prediction_ml) == (pytest.approx(0.16), pytest.approx(0.08))
        assert found.volume_error_ml == pytest.approx(-0.08)
        assert found.volume_error_relative == -0.5

    def test_a_voxels_volume_is_the_product_of_its_sides(self) -> None:
        image = voxel(1, 1, 1).astype(np.uint8)
        assert case_metrics(image, image, SPACING_MM, policy())["organ"].reference_ml == pytest.approx(0.01)


class TestSurfaceDistances:
    @pytest.mark.parametrize(
        ("moved_to", "distance_mm"),
        [((2, 1, 1), 5.0), ((1, 2, 1), 2.0), ((1, 1, 2), 1.0), ((2, 3, 1), math.hypot(5, 4)), ((1, 3, 4), 5.0)],
    )
    def test_one_voxel_away_is_the_voxels_side_along_that_axis(
        self, moved_to: tuple[Any, ...], distance_mm: Any
    ) -> None:
        found = mask_metrics(voxel(1, 1, 1), voxel(*moved_to), SPACING_MM, ORGAN)
        assert found.hd95_mm == pytest.approx(distance_mm)
        assert found.assd_mm == pytest.approx(distance_mm)
        assert found.nsd == float(distance_mm <= 2)

    def test_a_layer_more_on_one_side(self) -> None:
        # Reference: a plane of 3 x 4 voxels at z = 2. Prediction: the same and the plane at z = 3. Planes are one voxel
        # thick, so that every voxel is surface. The reference's 12 lie on the prediction; of its 24, 12 are 5 mm off.
        reference = box(slice(2, 3), slice(1, 4), slice(1, 5))
        prediction = box(slice(2, 4), slice(1, 4), slice(1, 5))
        found = mask_metrics(reference, prediction, SPACING_MM, ORGAN)
        assert found.assd_mm == pytest.approx(12 * 5 / 36)
        assert found.nsd == pytest.approx(24 / 36)
        # Directed: 0 mm and the 95th percentile of twelve 0 and twelve 5. Of both together it would be 5 mm too.
        assert found.hd95_mm == 5.0

    def test_hd95_is_the_larger_directed_percentile_and_not_that_of_both_together(self) -> None:
        # A line of 100 voxels along x in both; in the prediction 1 more voxel, 20 mm off along y.
        shape = (1, 12, 100)
        reference = box(slice(0, 1), slice(0, 1), slice(None), shape)
        prediction = reference.copy()
        prediction[0, 10, 0] = True
        found = mask_metrics(reference, prediction, SPACING_MM, ORGAN)
        # Directed: 0 mm; and of 101 distances, 100 of 0 and one of 20 mm, the 95th percentile is 0.
        assert found.hd95_mm == 0.0
        # Seven of them: of the prediction's 107 they are more than 5 %, of both together, 207, they are less.
        prediction[0, 10, 20:100:14] = True
        assert int(prediction.sum()) == 107
        assert mask_metrics(reference, prediction, SPACING_MM, ORGAN).hd95_mm == 20.0

    def test_percentiles_are_interpolated(self) -> None:
        # Distances along x of 0, 1, ... 10 mm: the 95th percentile is 9.5 mm.
        reference, prediction = np.zeros((1, 1, 11), bool), np.ones((1, 1, 11), bool)
        reference[0, 0, 0] = True
        assert mask_metrics(reference, prediction, SPACING_MM, ORGAN).hd95_mm == pytest.approx(9.5)

    def test_the_inside_of_a_mask_is_no_surface(self) -> None:
        cube = box(slice(1, 4), slice(1, 4), slice(1, 4))
        hollow = cube & ~voxel(2, 2, 2)
        directed = voxel_distances_mm(cube, hollow, SPACING_MM)
        # The one voxel inside is no surface. Around the hole its six neighbours are, and they are surface anyway.
        assert [len(distances) for distances in directed] == [26, 26]
        assert mask_metrics(cube, hollow, SPACING_MM, ORGAN).nsd == 1.0

    def test_the_images_border_is_outside(self) -> None:
        whole = np.ones((3, 3, 3), bool)
        assert len(voxel_distances_mm(whole, whole, SPACING_MM)[0]) == 26

    def test_a_distance_of_just_the_tolerance_is_within_it_though_headers_are_rounded(self) -> None:
        spacing_mm = (1.0, 1.0, float(np.float32(0.6)))  # 0.60000002
        reference, prediction = voxel(0, 0, 0), voxel(0, 0, 5)
        assert mask_metrics(reference, prediction, spacing_mm, LabelRule((1,), 3.0)).nsd == 1.0
        assert mask_metrics(reference, prediction, spacing_mm, LabelRule((1,), 2.999)).nsd == 0.0

    def test_an_image_of_one_slice_has_contours(self) -> None:
        reference, prediction = (np.zeros((1, 7, 7), np.uint8) for _ in range(2))
        reference[0, 1:6, 1:6] = 1
        prediction[0, 2:5, 2:5] = 1
        found = case_metrics(reference, prediction, SPACING_MM, policy())["organ"]
        # Contours of 16 and 8 pixels, 1 mm apart along x and 2 mm along y. A surface of all 25 would hold the other.
        directed = voxel_distances_mm(reference[0] > 0, prediction[0] > 0, SPACING_MM[1:])
        assert [len(distances) for distances in directed] == [16, 8]
        assert found.assd_mm == pytest.approx(np.concatenate(directed).mean())
        flat = case_metrics(reference[0], prediction[0], SPACING_MM[1:], policy())["organ"]
        assert (flat.assd_mm, flat.hd95_mm) == (found.assd_mm, found.hd95_mm)
        assert (found.reference_ml, flat.reference_ml) == (pytest.approx(0.25), None)


class TestEmptyMasks:
    NOTHING = np.zeros((6, 8, 10), bool)

    def test_both_empty_is_undefined_with_a_volume_error_of_0(self) -> None:
        found = mask_metrics(self.NOTHING, self.NOTHING, SPACING_MM, ORGAN, voxel_ml=0.01)
        scores = (found.dice, found.iou, found.sensitivity, found.precision, found.hd95_mm, found.assd_mm, found.nsd)
        assert scores == (None,) * 7
        assert (found.volume_error_ml, found.volume_error_relative) == (0.0, None)

    def test_an_empty_prediction_is_0_without_a_distance(self) -> None:
        found = mask_metrics(voxel(1, 1, 1), self.NOTHING, SPACING_MM, ORGAN, voxel_ml=0.01)
        assert (found.dice, found.iou, found.nsd, found.sensitivity) == (0.0, 0.0, 0.0, 0.0)
        assert (found.hd95_mm, found.assd_mm, found.precision) == (None, None, None)
        assert (found.volume_error_ml, found.volume_error_relative) == (-0.01, -1.0)

    def test_an_empty_reference_is_0_without_a_distance(self) -> None:
        found = mask_metrics(self.NOTHING, voxel(1, 1, 1), SPACING_MM, ORGAN, voxel_ml=0.01)
        assert (found.dice, found.iou, found.nsd, found.precision) == (0.0, 0.0, 0.0, 0.0)
        assert (found.hd95_mm, found.assd_mm, found.sensitivity) == (None, None, None)
        assert (found.volume_error_ml, found.volume_error_relative) == (0.01, None)


class TestLabels:
    def test_a_region_is_all_its_values_together(self) -> None:
        reference, prediction = (np.zeros((1, 1, 10), np.uint8) for _ in range(2))
        reference[..., 2:6] = [1, 1, 2, 2]
        prediction[..., 3:7] = [1, 2, 2, 1]
        rules = policy(3, whole=LabelRule((1, 2)), core=LabelRule((2,)))
        found = case_metrics(reference, prediction, SPACING_MM, rules)
        assert list(found) == ["whole", "core"]
        assert found["whole"].dice == 6 / 8
        assert found["core"].dice == 1.0

    def test_ignored_voxels_count_in_neither(self) -> None:
        reference = np.array([[[1, 1, 2, 2, 0, 0]]], np.uint8)
        prediction = np.array([[[1, 1, 1, 0, 1, 0]]], np.uint8)
        found = case_metrics(reference, prediction, SPACING_MM, policy(3, ignore=2))["organ"]
        assert (found.reference_voxels, found.prediction_voxels, found.dice) == (2, 3, 4 / 5)
        # The voxel at 4 is 3 mm from the reference's last; that at 2 is none.
        assert found.assd_mm == pytest.approx(3 / 5)

    def test_a_case_that_is_all_ignored_is_undefined(self) -> None:
        reference, prediction = np.full((3, 3, 3), 2, np.uint8), np.ones((3, 3, 3), np.uint8)
        found = case_metrics(reference, prediction, SPACING_MM, policy(3, ignore=2))["organ"]
        assert (found.dice, found.prediction_voxels) == (None, 0)

    @pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int64, ">i2"])
    def test_any_whole_numbers_in_any_order_of_memory_give_the_same(self, dtype: Any) -> None:
        reference, prediction = (box(slice(1, n), slice(1, n), slice(1, n)).astype(dtype) for n in (4, 5))
        expected = mask_metrics(reference > 0, prediction > 0, SPACING_MM, ORGAN, voxel_ml=0.01)
        found = case_metrics(np.asfortranarray(reference), prediction, SPACING_MM, policy())["organ"]
        assert replace(found, image_diagonal_mm=None) == expected

    def test_many_labels_fit(self) -> None:
        image = np.arange(1000, dtype=np.uint16).reshape(10, 10, 10)
        rules = policy(1000, last=LabelRule((999,)))
        assert case_metrics(image, image, SPACING_MM, rules)["last"].reference_voxels == 1

    def test_values_that_nobody_named_are_found(self) -> None:
        image = np.array([[[0, 1, 7, 7, -3, 1]]], np.int16)
        assert unknown_values(image, policy()) == {-3: 1, 7: 2}
        assert unknown_values(np.zeros((4, 4), np.uint8), policy()) == {}


class TestLesions:
    def test_a_lesion_is_found_where_it_is_touched(self) -> None:
        rule = LabelRule((1,), counts_lesions=True)
        # Reference: two voxels that meet at a corner (one lesion), and one apart. Prediction: on the first; two others.
        reference = voxel(0, 0, 0) | voxel(1, 1, 1) | voxel(5, 7, 9)
        prediction = voxel(1, 1, 1) | voxel(3, 3, 3) | voxel(3, 3, 7)
        found = mask_metrics(reference, prediction, SPACING_MM, rule)
        assert (found.lesions_reference, found.lesions_found) == (2, 1)
        assert (found.lesions_prediction, found.lesions_false) == (3, 2)

    def test_where_they_are_not_asked_for_they_are_not_counted(self) -> None:
        assert mask_metrics(voxel(0, 0, 0), voxel(0, 0, 0), SPACING_MM, ORGAN).lesions_reference is None


MASKS = hnp.arrays(np.bool_, (3, 4, 5))
SPACINGS = st.tuples(*3 * [st.floats(0.1, 10)])
FEW = settings(max_examples=30)
"""Each mask is drawn voxel by voxel, which takes ten times as long as its metrics."""


@given(MASKS, MASKS, SPACINGS)
@FEW
def test_reference_and_prediction_may_be_exchanged(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Any
) -> None:
    one = mask_metrics(reference, prediction, spacing_mm, ORGAN)
    other = mask_metrics(prediction, reference, spacing_mm, ORGAN)
    assert (one.dice, one.iou, one.hd95_mm) == (other.dice, other.iou, other.hd95_mm)
    assert (one.sensitivity, one.precision) == (other.precision, other.sensitivity)
    assert one.assd_mm == pytest.approx(other.assd_mm)
    assert one.nsd == pytest.approx(other.nsd)


@given(MASKS, SPACINGS)
@FEW
def test_a_mask_is_like_itself(mask: np.ndarray, spacing_mm: Any) -> None:
    found = mask_metrics(mask, mask, spacing_mm, ORGAN)
    scores = (found.dice, found.iou, found.nsd, found.hd95_mm, found.assd_mm)
    assert scores == ((1.0, 1.0, 1.0, 0.0, 0.0) if mask.any() else (None,) * 5)


@given(MASKS, MASKS, SPACINGS, st.permutations([0, 1, 2]))
@FEW
def test_turning_both_images_and_their_spacing_changes_nothing(
    reference: Any, prediction: Any, spacing_mm: Any, axes: Any
) -> None:
    before = mask_metrics(reference, prediction, spacing_mm, ORGAN)
    turned = [spacing_mm[axis] for axis in axes]
    after = mask_metrics(reference.transpose(axes), prediction.transpose(axes), turned, ORGAN)
    assert after.hd95_mm == pytest.approx(before.hd95_mm)
    assert after.assd_mm == pytest.approx(before.assd_mm)


def test_the_diagonal_is_that_of_the_whole_image_along_the_axes_of_distances() -> None:
    image = np.zeros((6, 8, 10), np.uint8)
    assert case_metrics(image, image, SPACING_MM, policy())["organ"].image_diagonal_mm == pytest.approx(
        math.sqrt(30**2 + 16**2 + 10**2)
    )
    slice_alone = np.zeros((1, 8, 10), np.uint8)
    flat = case_metrics(slice_alone, slice_alone, SPACING_MM, policy())["organ"]
    assert flat.image_diagonal_mm == pytest.approx(math.hypot(16, 10))
    one = np.ones((1, 1, 1), np.uint8)
    found = case_metrics(one, one, SPACING_MM, policy())["organ"]
    assert (found.image_diagonal_mm, found.dice, found.reference_ml) == (1.0, 1.0, pytest.approx(0.01))


def test_without_the_size_of_a_voxel_there_are_no_volumes() -> None:
    found = mask_metrics(voxel(0, 0, 0), voxel(0, 0, 1), SPACING_MM, ORGAN)
    volumes = (found.reference_ml, found.prediction_ml, found.volume_error_ml, found.volume_error_relative)
    assert volumes == (None,) * 4
    assert found.image_diagonal_mm is None


@pytest.mark.parametrize(
    ("distances", "areas", "expected"),
    [
        ([3.0, 1.0, 2.0], [1.0, 1.0, 2.0], 3.0),
        ([3.0, 1.0, 2.0], [0.01, 1.0, 1.0], 2.0),
        ([3.0, 1.0, 2.0], [0.01, 10.0, 0.01], 1.0),
        ([4.0], [2.0], 4.0),
        ([1.0, 2.0], [0.95, 0.05], 1.0),
        ([1.0, 2.0], [0.94, 0.06], 2.0),
    ],
)
def test_ninety_five_percent_of_an_area_lie_within_the_percentile(
    distances: list[float], areas: list[float], expected: float
) -> None:
    assert module._percentile(np.array(distances), np.array(areas)) == expected


@pytest.mark.parametrize(("most", "lengths"), [(1, [1] * 5), (11, [1] * 5), (12, [2, 2, 1]), (18, [3, 2]), (30, [5])])
def test_an_image_is_taken_in_slabs_of_whole_slices(
    monkeypatch: pytest.MonkeyPatch, most: int, lengths: list[int]
) -> None:
    image = np.arange(30, dtype=np.int16).reshape(5, 2, 3) % 4
    whole = unknown_values(image, policy())
    monkeypatch.setattr(module, "_SLAB_VOXELS", most)
    assert [len(slab) for slab in module._slabs(image)] == lengths
    assert unknown_values(image, policy()) == whole == {2: 7, 3: 7}
    assert module._encoded(image, policy(4)).tolist() == (image + 1).tolist()


@pytest.mark.parametrize(("n_values", "dtype"), [(2, np.uint8), (255, np.uint8), (256, np.uint16), (300, np.uint16)])
def test_codes_are_as_small_as_they_can_be(n_values: int, dtype: Any) -> None:
    codes = module._encoded(np.array([[[0, n_values - 1, -1, n_values]]]), policy(n_values))
    assert (codes.dtype, codes.tolist()) == (dtype, [[[1, n_values, 0, 0]]])


def test_the_box_around_boxes_holds_them_all() -> None:
    boxes = [(slice(1, 3), slice(4, 5)), None, (slice(2, 6), slice(0, 2))]
    assert module._union(boxes) == (slice(1, 6), slice(0, 5))
    assert module._union([None, None]) == (slice(0, 0),)


def test_surfaces_by_elements_stand_beside_those_by_voxels() -> None:
    found = mask_metrics(voxel(1, 1, 1), voxel(2, 1, 1), SPACING_MM, ORGAN)
    assert found.assd_surface_mm is not None
    assert 0 < found.assd_surface_mm < 5.0
    assert 0 < found.nsd_surface < 1
    assert found.hausdorff95_surface_mm <= 5.0
    gone = mask_metrics(voxel(1, 1, 1), np.zeros((6, 8, 10), bool), SPACING_MM, ORGAN)
    assert (gone.hausdorff95_surface_mm, gone.assd_surface_mm, gone.nsd_surface) == (None, None, 0.0)
