"""How every figure looks, and how it becomes a file: print size, colours for any colour vision, the same bytes again.

A figure is drawn with matplotlib's object API: pyplot keeps global state, and figures that nobody closes. Text that
users chose is shown as it is: `$` starts no formula.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from nnunet_assets.core.text.distinct_names import told_apart

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_P = ParamSpec("_P")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, told apart with any colour vision."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Beside the colours, since a printer may have none."""

PAGE_INCHES = 7.2
"""Width of a page of two columns."""

MANY_POINTS = 5000
"""Beyond so many the points of a figure are a picture in it: as vectors they take megabytes."""

_PNG_DPI = 200
PREVIEW_DPI = 90
"""Of what a web page shows in place of the file."""

_SETTINGS = {
    "font.size": 8,
    "legend.fontsize": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text: it can be searched, and edited for a journal
    "svg.hashsalt": "nnunet_assets",  # the same figure gives the same bytes
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Pictures:
    """A figure as files have it.

    Attributes:
        svg: For print.
        png: Likewise, where a program takes no SVG.
        preview_png: Small, for a web page that shows it in place of the file.
    """

    svg: bytes
    png: bytes
    preview_png: bytes


def in_style(draw: "Callable[_P, Figure]") -> "Callable[_P, Figure]":
    """Makes a function draw in this project's style, whatever the process has set for other figures."""

    @wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> "Figure":
        from matplotlib import rc_context

        with rc_context(_SETTINGS):
            return draw(*args, **kwargs)

    return styled


def new_figure(height_inches: float) -> "Figure":
    """Returns an empty figure as wide as a page."""
    from matplotlib.figure import Figure

    return Figure(figsize=(PAGE_INCHES, height_inches), layout="constrained")


def add_axes(figure: "Figure", rows: int = 1, columns: int = 1, **options: Any) -> list[Any]:
    """Returns the axes of a grid, row by row; `options` are those of `Figure.subplots`."""
    return list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def say_instead(figure: "Figure", sentence: str) -> "Figure":
    """Puts a sentence where there is nothing to draw."""
    figure.text(0.5, 0.5, sentence, ha="center", va="center", wrap=True)
    return figure


def drawable(value: float | None) -> float:
    """Returns what matplotlib draws of a value: a gap where it is undefined."""
    return math.nan if value is None else value


def shortened(names: Sequence[str], longest: int = 24) -> list[str]:
    """Returns names for an axis, cut where they would take the figure's room; no two become the same."""
    return told_apart(names, longest)


def svg(figure: "Figure") -> bytes:
    """Returns the figure as SVG, for print; a figure drawn anew from the same values gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with rc_context(_SETTINGS):
        content = io.BytesIO()
        figure.set_dpi(_PNG_DPI)  # of the pictures in it
        FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None, "Creator": None})
        return content.getvalue()


def png(figure: "Figure", dpi: int = _PNG_DPI) -> bytes:
    """Returns the figure as PNG; the same values give the same bytes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context(_SETTINGS):
        content = io.BytesIO()
        figure.set_dpi(dpi)
        FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
        return content.getvalue()


def pictures(figure: "Figure") -> Pictures:
    """Returns the figure in every form."""
    return Pictures(svg(figure), png(figure), png(figure, dpi=PREVIEW_DPI))
