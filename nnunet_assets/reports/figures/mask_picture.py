"""A slice of an image with a mask on it as a small picture: outlines, and which colour is which label.

Pillow draws it: beside thousands of predicted cases each picture may cost hundredths of a second, and matplotlib takes
a second to load and half of one to draw.
"""

import io
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnunet_assets.core.evaluation.case_slice import CaseSlice
from nnunet_assets.reports.figures.style import COLOURS

if TYPE_CHECKING:
    from PIL.Image import Image

LONGER_SIDE, SHORTER_SIDE = 512, 16
"""Pixels of the slice in the picture; what is very long and narrow still shows."""

_MARGIN, _LINE, _TEXT = 8, 18, 13


def mask_picture(shown: CaseSlice, label_names: Mapping[int, str]) -> bytes:
    """Returns a PNG of the slice in grey, with the outline of each value of the mask.

    Args:
        shown: The slice; its `predicted` is outlined, and the title stands above it.
        label_names: Value to what it is called below the picture; a value without one is called by its number.
    """
    from PIL import Image, ImageDraw

    slice_picture = Image.fromarray(_outlined(shown))
    values = [int(value) for value in np.unique(shown.predicted) if value]
    names = [f"{label_names.get(value, value)}" for value in values] or ["no label in this slice"]
    width, height = slice_picture.size
    page = Image.new("RGB", (max(width, 200), height + 2 * _MARGIN + _LINE * (len(names) + 1)), "white")
    page.paste(slice_picture, ((page.width - width) // 2, _LINE + _MARGIN))
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN // 2), shown.title, fill="black", font=_font())
    top = height + _LINE + 2 * _MARGIN
    for row, name in enumerate(names):
        y = top + row * _LINE - _MARGIN // 2
        if values:
            draw.rectangle((_MARGIN, y, _MARGIN + _TEXT, y + _TEXT), fill=_colour(values[row]))
        draw.text((2 * _MARGIN + _TEXT, y), name, fill="black", font=_font())
    return _png(page)


def _outlined(shown: CaseSlice) -> np.ndarray:
    """Returns the pixels, (rows, columns, RGB), in which a millimetre is as long in both directions."""
    height, width = _size(shown)
    rows, columns = ((np.arange(n) * old) // n for n, old in zip((height, width), shown.image.shape, strict=True))
    low, high = np.percentile(shown.image, [1, 99])
    grey = np.clip((shown.image - low) / max(high - low, 1e-6), 0, 1) * 255
    pixels = np.repeat(grey.astype(np.uint8)[rows][:, columns, None], 3, axis=2)
    labels = shown.predicted[rows][:, columns]
    is_edge = _edges(labels)
    for value in np.unique(labels[is_edge]):
        pixels[is_edge & (labels == value)] = _rgb(_colour(int(value)))
    return pixels


def _size(shown: CaseSlice) -> tuple[int, int]:
    extent = [n * mm for n, mm in zip(shown.image.shape, shown.pixel_mm, strict=True)]
    height, width = (max(SHORTER_SIDE, round(LONGER_SIDE * mm / max(extent))) for mm in extent)
    return height, width


def _edges(labels: np.ndarray) -> np.ndarray:
    """Returns the pixels of labels that have a pixel of something else beside them, or two beside them."""
    is_edge = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        for steps in (1, 2):
            if labels.shape[axis] <= steps:
                continue
            before, after = (np.moveaxis(labels, axis, 0)[part] for part in (slice(None, -steps), slice(steps, None)))
            is_other, edge = before != after, np.moveaxis(is_edge, axis, 0)
            edge[:-steps] |= is_other
            edge[steps:] |= is_other
    edges: np.ndarray = is_edge & (labels != 0)
    return edges


def _colour(value: int) -> str:
    return COLOURS[(value - 1) % (len(COLOURS) - 1)]


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


@cache
def _font() -> Any:
    from PIL import ImageFont

    # Matplotlib's has letters of most scripts, Pillow's own hardly more than ASCII; it is found without being loaded.
    spec = find_spec("matplotlib")
    file = Path(spec.origin or "").parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if spec else Path()
    return ImageFont.truetype(file, _TEXT) if file.is_file() else ImageFont.load_default(_TEXT)


def _png(picture: "Image") -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
