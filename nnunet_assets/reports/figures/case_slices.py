"""One slice of a case with the outlines of reference and prediction: what the worst and the median case look like."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.evaluation.case_slice import CaseSlice
from nnunet_assets.reports.figures.style import COLOURS, add_axes, in_style, new_figure, say_instead

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


@in_style
def draw_cases(slices: Sequence[CaseSlice]) -> "Figure":
    """Returns a panel a slice: the image in grey, the reference's outline solid, the prediction's dashed.

    Intensities are shown from the 1st to the 99th percentile of the slice. Without a slice the figure says so.
    """
    if not slices:
        return say_instead(new_figure(1.2), "There is no case to show.")
    n_rows = -(-len(slices) // _COLUMNS)
    figure = new_figure(2.6 * n_rows + 0.3)
    panels = add_axes(figure, n_rows, _COLUMNS)
    for panel in panels[len(slices) :]:
        panel.remove()
    for panel, case in zip(panels, slices, strict=False):
        _draw_case(panel, case)
    figure.supxlabel("solid: reference; dashed: prediction; a colour a label", fontsize=8)
    return figure


def _draw_case(axes: Any, case: CaseSlice) -> None:
    import numpy as np

    low, high = np.percentile(case.image, [1, 99])
    height_mm, width_mm = case.pixel_mm
    shown = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-6), "aspect": height_mm / width_mm}
    axes.imshow(case.image, interpolation="nearest", **shown)
    for value in np.union1d(case.reference, case.predicted):
        if value == 0:
            continue
        colour = COLOURS[(int(value) - 1) % (len(COLOURS) - 1)]
        for labels, style in ((case.reference, "solid"), (case.predicted, "dashed")):
            mask = labels == value
            # A contour needs something on both sides of its level.
            if mask.any() and not mask.all():
                axes.contour(mask.astype(float), levels=[0.5], colors=[colour], linestyles=[style], linewidths=1)
    axes.set_title(case.title)
    axes.set_axis_off()
