"""The picture beside a predicted mask: what is drawn where, worked out by hand."""

import io

import numpy as np
import pytest

from nnunet_assets.core.evaluation.case_slice import CaseSlice
from nnunet_assets.reports.figures.mask_picture import mask_picture
from nnunet_assets.reports.figures.style import COLOURS


def picture(mask: np.ndarray, pixel_mm: tuple[float, float] = (1.0, 1.0), title: str = "case") -> np.ndarray:
    from PIL import Image

    image = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    content = mask_picture(CaseSlice(title, image, mask, mask, pixel_mm), {1: "organ", 2: "lesion"})
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def rows_and_columns(pixels: np.ndarray, colour: str) -> tuple[int, int, int, int]:
    """First and last row and column with a colour, without the legend below the slice."""
    rows, columns = np.nonzero((pixels[:530] == list(bytes.fromhex(colour[1:]))).all(axis=2))
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def test_the_outline_is_where_the_mask_is_with_pixels_as_long_as_they_are_wide() -> None:
    mask = np.zeros((16, 16), int)
    mask[4:8, 8:12] = 1
    # 16 rows of 2 mm and 16 columns of 1 mm: 512 × 256 pixels, below 26 pixels of title.
    first_row, last_row, first_column, last_column = rows_and_columns(picture(mask, (2.0, 1.0)), COLOURS[0])
    assert (first_row - 26, last_row + 1 - 26) == (4 * 32, 8 * 32)
    assert (first_column, last_column + 1) == (8 * 16, 12 * 16)


def test_inside_of_the_outline_the_image_is_to_be_seen() -> None:
    mask = np.zeros((16, 16), int)
    mask[4:12, 4:12] = 2
    pixels = picture(mask)
    of_outline = (pixels == list(bytes.fromhex(COLOURS[1][1:]))).all(axis=2)
    assert of_outline[26 + 4 * 32 : 26 + 4 * 32 + 2, 4 * 32 : 12 * 32].all()
    assert not of_outline[26 + 4 * 32 + 2 : 26 + 12 * 32 - 2, 4 * 32 + 2 : 12 * 32 - 2].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_any_slice_can_be_drawn(shape: tuple[int, int]) -> None:
    for value in (0, 1, 200):
        assert picture(np.full(shape, value), title="Fall_Größe_µ").size


def test_an_image_of_one_value_and_a_mask_of_nothing_are_drawn() -> None:
    content = mask_picture(CaseSlice("a", np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 4), int), (1, 1)), {})
    assert content.startswith(b"\x89PNG")
