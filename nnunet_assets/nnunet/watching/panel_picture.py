"""The panels of an epoch as one picture: a row for each case, with its name above it."""

import io
from collections.abc import Sequence

import numpy as np

from nnunet_assets.core.training.panel import TITLES

_LINE, _MARGIN = 16, 4


def panel_picture(rows: Sequence[tuple[str, np.ndarray]], epoch: int) -> bytes:
    """Returns a PNG.

    Args:
        rows: Case and pixels, (rows, columns, RGB) of bytes.
        epoch: Which is named above them.
    """
    from PIL import Image, ImageDraw

    width = max(pixels.shape[1] for _, pixels in rows) + 2 * _MARGIN
    height = _LINE + sum(pixels.shape[0] + _LINE + _MARGIN for _, pixels in rows)
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 2), f"epoch {epoch}: {', '.join(TITLES)}", fill="black")
    top = _LINE
    for case, pixels in rows:
        draw.text((_MARGIN, top + 2), _printable(case), fill="black")
        page.paste(Image.fromarray(pixels), (_MARGIN, top + _LINE))
        top += _LINE + pixels.shape[0] + _MARGIN
    content = io.BytesIO()
    page.save(content, "PNG")
    return content.getvalue()


def _printable(text: str) -> str:
    # Pillow's own letters are hardly more than these, and it fails at others.
    return text.encode("latin-1", "replace").decode("latin-1")
