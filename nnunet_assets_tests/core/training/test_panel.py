"""A slice as four pictures, worked out by hand on few pixels."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.training import panel as module
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


def test_labels_and_differences_have_the_colours_of_okabe_and_ito() -> None:
    found = [bytes(colour).hex() for colour in (*module._LABELS, ONLY_PREDICTED, MISSED, OTHER_LABEL, IGNORED)]
    green, orange, purple, sky, vermillion, blue, yellow = (
        "009e73", "e69f00", "cc79a7", "56b4e9", "d55e00", "0072b2", "f0e442",
    )  # fmt: skip
    assert found == [green, orange, purple, sky, vermillion, blue, vermillion, blue, yellow, "6e6e6e"]


def test_a_label_lies_over_the_image_and_the_seventh_has_the_colour_of_the_first() -> None:
    grey = np.full((1, 5, 3), 101, np.uint8)
    shown = module._coloured(grey, np.array([[0, 1, 2, 6, 7]]))[0].tolist()
    # 0.45 of 101, and 0.55 of (0, 158, 115), (230, 159, 0) and (0, 114, 178).
    assert shown == [[101, 101, 101], [45, 132, 108], [171, 132, 45], [45, 108, 143], [45, 132, 108]]


def test_an_image_is_as_bright_as_all_but_a_hundredth_of_it() -> None:
    shown = module._grey(np.arange(101.0)[None])
    assert shown.shape == (1, 101, 3)
    # 1 is black and 99 white, with 255 / 98 a step.
    assert shown[0, [0, 1, 2, 50, 98, 99, 100], 0].tolist() == [0, 0, 2, 127, 252, 255, 255]
    # Less than a millionth of difference is not drawn out to black and white: 0.495 of it, of 255.
    assert module._grey(np.array([[0.0, 5e-7]]))[0, :, 0].tolist() == [0, 126]


def test_pictures_stand_in_a_row_with_white_between_them() -> None:
    labels = np.zeros((100, 200), int).tolist()
    pixels = panel_pixels(panel(labels, labels))
    assert pixels.shape == (96, 4 * 192 + 3 * 4, 3)
    for end, start in pairwise([0, 196, 392, 588]):
        assert (pixels[:, start - 4 : start] == 255).all()
        assert not (pixels[:, end : start - 4] == 255).all()
    # A slice that is thinner than a line can be seen still.
    assert panel_pixels(panel([[0] * 200], [[0] * 200])).shape == (16, 780, 3)


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
