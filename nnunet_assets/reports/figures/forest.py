"""The differences between the experiments of a comparison as a forest plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.comparison.comparison import Comparison, Difference
from nnunet_assets.core.text.numbers import beside
from nnunet_assets.reports.figures.style import (
    COLOURS,
    add_axes,
    in_style,
    new_figure,
    say_instead,
    shortened,
)
from nnunet_assets.reports.tables.comparison_rows import HEADLINE_METRIC, interval_text, mean_difference_text
from nnunet_assets.reports.text.experiment_names import short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PAIRS = 40
"""What a page has room for."""

_INCHES_A_PAIR = 0.22


@in_style
def draw_forest(comparison: Comparison) -> "Figure":
    """Returns the difference of each pair in the foreground's Dice, with its 95 % interval; left minus right.

    A filled point is a difference that the test finds after the correction, an empty one is none. The band is the
    noise between seeds, where it is known. Of more than 40 pairs those that differ most are drawn, and the figure says
    so.
    """
    found = [one for one in comparison.differences if one.metric == HEADLINE_METRIC and one.label is None]
    defined = [one for one in found if one.mean is not None]
    if not defined:
        return say_instead(new_figure(1.2), "There is no difference to show: fewer than two to compare.")
    largest = sorted(defined, key=lambda one: -abs(one.mean or 0))[:MAX_PAIRS]
    shown = [one for one in found if one in largest]
    figure = new_figure(1.0 + _INCHES_A_PAIR * len(shown))
    (axes,) = add_axes(figure)
    floor = next((f.noise.floor for f in comparison.noise if f.metric == HEADLINE_METRIC and f.label is None), None)
    if floor is not None:
        text = beside(floor, *(abs(one.mean or 0.0) for one in shown), digits=4)
        axes.axvspan(-floor, floor, color="0.88", linewidth=0, label=f"noise between seeds (±{text})")
    axes.axvline(0, color="black", linewidth=0.8)
    for row, one in enumerate(shown):
        _draw_pair(axes, row, one, floor)
    _name_pairs(axes, shown, comparison.experiments)
    axes.set(xlabel="difference in mean Dice, left − right (line: 95 % interval)", ylim=(len(shown) - 0.5, -0.5))
    for kind, face in (("significant", COLOURS[0]), ("not significant", "white")):
        axes.plot([], [], "o", color=COLOURS[0], markerfacecolor=face, markersize=4, label=f"{kind} (corrected, 5 %)")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    if len(shown) < len(found):
        figure.suptitle(f"The {len(shown)} largest of {len(found)} differences.")
    return figure


def _draw_pair(axes: Any, row: int, one: Difference, floor: float | None) -> None:
    if one.interval:
        axes.plot([one.interval.low, one.interval.high], [row, row], color=COLOURS[0], linewidth=1.2)
    face = COLOURS[0] if one.is_significant else "white"
    axes.plot([one.mean], [row], "o", color=COLOURS[0], markerfacecolor=face, markersize=4)
    interval = f" [{interval_text(one, ', ')}]" if one.interval else ""
    text = f"{mean_difference_text(one, floor)}{interval}"
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), va="center")


def _name_pairs(axes: Any, shown: Sequence[Difference], experiments: Sequence[str]) -> None:
    names, _ = short_names(experiments)
    short = dict(zip(names, shortened(list(names.values())), strict=True))
    axes.set_yticks(range(len(shown)), [f"{short[one.left]} − {short[one.right]} (n = {one.n_cases})" for one in shown])
