"""What a step does to masks, against nnU-Net's own function."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.model.largest_component import postprocessed, removed_by

MASKS = st.builds(
    lambda seed, shape, share: np.where(
        np.random.default_rng(seed).random(shape) < share, np.random.default_rng(seed + 1).integers(1, 4, shape), 0
    ).astype(np.uint8),
    st.integers(0, 10**6),
    st.sampled_from([(5, 6), (1, 6, 7), (4, 5, 6), (3, 3, 9)]),
    st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.9]),
)
STEPS = st.lists(st.sets(st.integers(1, 3), min_size=1).map(lambda found: tuple(sorted(found))), max_size=3)


@settings(max_examples=60, deadline=None)
@given(MASKS, STEPS)
def test_masks_are_those_of_nnunet(mask: Any, steps: Any) -> None:
    from nnunetv2.postprocessing.remove_connected_components import (
        apply_postprocessing,
        remove_all_but_largest_component_from_segmentation,
    )

    before = mask.copy()
    functions = [remove_all_but_largest_component_from_segmentation] * len(steps)
    expected = apply_postprocessing(mask, functions, [{"labels_or_regions": list(step)} for step in steps])
    assert np.array_equal(postprocessed(mask, steps), expected)
    assert np.array_equal(mask, before)


def test_of_equally_large_components_all_stay() -> None:
    row = np.array([[1, 1, 0, 1, 1, 0, 1]])
    assert postprocessed(row, [(1,)]).tolist() == [[1, 1, 0, 1, 1, 0, 0]]
    assert removed_by(row[:, :5], (1,)) is None


def test_components_touch_by_their_corners() -> None:
    diagonal = np.eye(3, dtype=np.uint8)
    assert postprocessed(diagonal, [(1,)]) is diagonal


def test_labels_of_one_step_are_one_mask() -> None:
    row = np.array([[1, 2, 0, 2, 0, 1, 1, 1]])
    assert postprocessed(row, [(1, 2)]).tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert postprocessed(row, [(2,)]).tolist() == [[1, 2, 0, 2, 0, 1, 1, 1]]


def test_where_nothing_goes_the_same_array_comes_back() -> None:
    nothing = np.zeros((2, 3, 4), np.uint8)
    assert postprocessed(nothing, [(1,), (2,)]) is nothing


def test_the_result_depends_on_the_order() -> None:
    # The larger piece of 2 lies in the smaller piece of the foreground.
    row = np.array([[2, 2, 0, 1, 1, 1, 2]])
    assert postprocessed(row, [(1, 2), (2,)]).tolist() == [[0, 0, 0, 1, 1, 1, 2]]
    assert postprocessed(row, [(2,), (1, 2)]).tolist() == [[0, 0, 0, 1, 1, 1, 0]]
