"""Agreement of predicted and reference volumes, after Bland and Altman (Lancet 1986; 327: 307-310)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.text.numbers import measured
from nnunet_assets.reports.figures.style import (
    COLOURS,
    MANY_POINTS,
    add_axes,
    in_style,
    new_figure,
    say_instead,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3
LARGEST_N = 24
"""Panels that a page takes; further labels are left out, and the figure says so."""


@dataclass(frozen=True)
class Agreement:
    """Bias and limits of agreement of paired volumes.

    Attributes:
        bias_ml: Mean of predicted minus reference volume.
        limits_ml: bias -+ 1.96 SD of the differences; None with fewer than two pairs.
    """

    bias_ml: float
    limits_ml: tuple[float, float] | None


def agreement(reference_ml: Sequence[float], predicted_ml: Sequence[float]) -> Agreement:
    """Returns the agreement of at least one pair of volumes in ml."""
    from statistics import fmean, stdev

    differences = [predicted - reference for reference, predicted in zip(reference_ml, predicted_ml, strict=True)]
    bias = fmean(differences)
    if len(differences) < 2:
        return Agreement(bias, None)
    half = 1.96 * stdev(differences)
    return Agreement(bias, (bias - half, bias + half))


@in_style
def draw_bland_altman(volumes_ml: Mapping[str, Sequence[tuple[float, float]]] | None) -> "Figure":
    """Returns a panel a label: predicted minus reference over their mean, with bias and limits of agreement.

    Args:
        volumes_ml: By label name, pairs of reference and predicted volume of each case, in ml. A pair of two empty
            masks says nothing about agreement and is left out; a label without any other pair has no panel. None: the
            cases must not be taken together, and the figure says so.
    """
    if volumes_ml is None:
        return say_instead(
            new_figure(1.2),
            "The folds must not be taken together; evaluation.json and the report say why.",
        )
    pairs = {name: [pair for pair in found if any(pair)] for name, found in volumes_ml.items()}
    pairs = {name: found for name, found in pairs.items() if found}
    if not pairs:
        return say_instead(new_figure(1.2), "No case holds any label, in reference or prediction.")
    shown = dict(list(pairs.items())[:LARGEST_N])
    n_rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(2.1 * n_rows + 0.3)
    panels = add_axes(figure, n_rows, _COLUMNS)
    for panel in panels[len(shown) :]:
        panel.remove()
    is_picture = sum(map(len, shown.values())) > MANY_POINTS
    for panel, title, found in zip(panels, shortened(list(shown)), shown.values(), strict=False):
        _draw_panel(panel, title, found, is_picture=is_picture)
    if len(shown) < len(pairs):
        figure.suptitle(f"The first {len(shown)} of {len(pairs)} labels.")
    figure.supxlabel("mean of reference and prediction (ml)", fontsize=8)
    figure.supylabel("prediction − reference (ml)", fontsize=8)
    return figure


def _draw_panel(axes: Any, title: str, pairs: Sequence[tuple[float, float]], *, is_picture: bool) -> None:
    reference, predicted = zip(*pairs, strict=True)
    found = agreement(reference, predicted)
    axes.scatter(
        [(r + p) / 2 for r, p in pairs],
        [p - r for r, p in pairs],
        s=8,
        color=COLOURS[0],
        alpha=0.7,
        linewidths=0,
        rasterized=is_picture,
    )
    axes.axhline(found.bias_ml, color="black", linewidth=1)
    text = f"{title}: bias {measured(found.bias_ml)} ml"
    if found.limits_ml:
        for limit in found.limits_ml:
            axes.axhline(limit, color=COLOURS[1], linewidth=1, linestyle="--")
        text += f"\n95 % limits {measured(found.limits_ml[0])} to {measured(found.limits_ml[1])} ml"
    axes.set_title(text)
