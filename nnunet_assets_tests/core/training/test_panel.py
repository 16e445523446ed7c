"""A slice as four pictures, worked out by hand on few pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.training.panel import (
    GAP,
    IGNORED,
    MISSED,
    ONLY_PREDICTED,
    OTHER_LABEL,
    SIDE,
    Panel,
    panel_pixels,
)


def panel(reference: list[list[int]], prediction: list[list[int]], **changes: object) -> Panel:
    image = np.linspace(0, 1, np.size(reference)).reshape(np.shape(reference))
    fields: dict[str, object] = {"pixel_mm": (1.0, 1.0), **changes}
    return Panel("case", image, np.array(reference), np.array(prediction), **fields)  # type: ignore[arg-type]


def pictures(pixels: np.ndarray) -> list[np.ndarray]:
    width = (pixels.shape[1] - 3 * GAP) // 4
    return [pixels[:, start : start + width] for start in range(0, 4 * (width + GAP), width + GAP)]


def test_the_difference_says_what_is_wrong_pixel_by_pixel() -> None:
    shown = panel([[0, 1, 1], [2, 2, 0]], [[1, 0, 1], [2, 1, 0]])

    image, reference, prediction, difference = pictures(panel_pixels(shown))

    size = SIDE // 3
    corners = difference[::size, ::size].tolist()
    grey = (image // 2)[::size, ::size].tolist()
    assert corners == [
        [list(ONLY_PREDICTED), list(MISSED), grey[0][2]],
        [grey[1][0], list(OTHER_LABEL), grey[1][2]],
    ]
    assert image.shape == reference.shape == prediction.shape == (128, 192, 3)
    assert (reference[0, 0] == image[0, 0]).all()
    assert (prediction[0, size] == image[0, size]).all()
    assert (prediction[0, 0] != image[0, 0]).any()


def test_what_is_to_be_ignored_is_grey_and_no_difference() -> None:
    _, reference, _, difference = pictures(panel_pixels(panel([[3, 1]], [[1, 1]], ignore_label=3)))
    assert tuple(reference[0, 0]) == tuple(difference[0, 0]) == IGNORED
    assert tuple(difference[0, -1]) not in (IGNORED, MISSED, ONLY_PREDICTED, OTHER_LABEL)


@pytest.mark.parametrize(
    ("pixel_mm", "shape"), [((1.0, 1.0), (96, 192)), ((2.0, 1.0), (192, 192)), ((1.0, 3.0), (32, 192))]
)
def test_a_millimetre_is_as_long_in_both_directions(pixel_mm: tuple[float, float], shape: tuple[int, int]) -> None:
    labels = np.zeros((10, 20), int).tolist()
    assert pictures(panel_pixels(panel(labels, labels, pixel_mm=pixel_mm)))[0].shape[:2] == shape


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.0, np.nan, np.inf, -np.inf, 1e30]),
    st.integers(0, 300),
)
def test_any_slice_can_be_shown(height: int, width: int, value: float, label: int) -> None:
    image = np.full((height, width), 1.0, np.float32)
    image[0, 0] = value
    labels = np.zeros((height, width), int)
    labels[-1, -1] = label
    pixels = panel_pixels(Panel("case", image, labels, labels, (1.0, 1.0)))
    assert (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)
    assert not (pixels == OTHER_LABEL).all(2).any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_as_dark_as_nothing(value: float) -> None:
    image = np.array([[0.0, value], [1.0, 2.0]])
    labels = np.zeros((2, 2), int)
    shown = pictures(panel_pixels(Panel("case", image, labels, labels, (1.0, 1.0))))[0]
    assert shown[0, -1].tolist() == shown[0, 0].tolist() == [0, 0, 0]
    assert shown[-1, 0].tolist() != [0, 0, 0]
