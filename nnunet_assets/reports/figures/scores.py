"""Scores of validation cases as figures: by label as boxes and points, as bars, and as a map of folds by labels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.text.numbers import beside, fixed
from nnunet_assets.reports.figures.style import (
    COLOURS,
    MANY_POINTS,
    MARKERS,
    add_axes,
    in_style,
    new_figure,
    say_instead,
    shortened,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THRESHOLDS = ((0.8, COLOURS[2], "0.8 and above"), (0.6, COLOURS[4], "0.6 to 0.8"), (0.0, COLOURS[1], "below 0.6"))
"""Lower bound of a Dice, its colour and what the legend says; a reading aid, no judgement of an application."""

_INCHES_A_LABEL = 0.32


@in_style
def draw_boxes(summary: ScoredSummary) -> "Figure":
    """Returns the Dice of all validation cases, a box a label and a point a case, the shape of points by fold.

    Boxes show median and quartiles, whiskers reach to the last case within 1.5 quartile distances. Undefined scores are
    left out; a label's name says how many cases are shown, a label without any has no box.
    """
    names = list(summary.labels)
    figure = new_figure(0.9 + _INCHES_A_LABEL * len(names))
    (axes,) = add_axes(figure)
    values = [_dice_by_fold(summary, name) for name in names]
    pooled = [[dice for fold in folds.values() for dice in fold] for folds in values]
    n_points = sum(map(len, pooled))
    rows = range(len(names))
    drawn = [(row, dice) for row, dice in zip(rows, pooled, strict=True) if dice]
    if not drawn:
        return say_instead(new_figure(1.2), "No case has a defined Dice.")
    axes.boxplot(
        [dice for _, dice in drawn],
        positions=[row for row, _ in drawn],
        orientation="horizontal",
        widths=0.6,
        showfliers=False,
        medianprops={"color": "black", "linewidth": 1.5},
    )
    for index, fold in enumerate(summary.completed_folds):
        points = [(dice, row + _spread(n, len(folds[fold]))) for row, folds in enumerate(values)
                  for n, dice in enumerate(folds[fold])]  # fmt: skip
        axes.scatter(
            *zip(*points, strict=True) if points else ([], []),
            s=9,
            marker=MARKERS[index % len(MARKERS)],
            color=COLOURS[index % len(COLOURS)],
            alpha=0.7,
            linewidths=0,
            rasterized=n_points > MANY_POINTS,
            label=fold,
        )
    texts = shortened(names)
    axes.set_yticks(rows, [f"{text} ({len(dice)})" for text, dice in zip(texts, pooled, strict=True)])
    axes.set(xlabel="Dice of validation cases", xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5))
    figure.legend(loc="outside upper center", ncols=6, frameon=False)
    return figure


@in_style
def draw_bars(summary: ScoredSummary) -> "Figure":
    """Returns the pooled mean Dice of each label as bars, coloured by threshold, with the SD as a line.

    The value stands beside its bar, so that no colour is needed to read it; an undefined mean has no bar and says so.
    """
    names = [*summary.labels, "foreground mean"]
    estimates = [label.dice.pooled for label in (*summary.labels.values(), summary.foreground)]
    figure = new_figure(0.9 + _INCHES_A_LABEL * len(names))
    (axes,) = add_axes(figure)
    for row, estimate in enumerate(estimates):
        if estimate.mean is None:
            axes.text(0.01, row, "undefined in every case", va="center")
            continue
        _, colour, _ = next(threshold for threshold in THRESHOLDS if estimate.mean >= threshold[0])
        error = {"xerr": estimate.sd, "error_kw": {"linewidth": 0.8, "capsize": 2}} if estimate.sd else {}
        axes.barh(row, estimate.mean, height=0.6, color=colour, **error)
        axes.text(1.03, row, beside(estimate.mean, *(lowest for lowest, _, _ in THRESHOLDS)), va="center")
    axes.set_yticks(range(len(names)), shortened(names))
    axes.set(xlabel="mean Dice, pooled over cases (line: SD)", xlim=(0, 1.12), ylim=(len(names) - 0.5, -0.5))
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    handles = [axes.bar(0, 0, color=colour, label=text) for _, colour, text in THRESHOLDS]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


@in_style
def draw_fold_map(summary: ScoredSummary) -> "Figure":
    """Returns mean Dice by label (rows) and expected fold (columns), each number in its cell.

    A missing fold's column is empty and says so; an undefined mean is a dash.
    """
    import numpy as np

    names, folds = [*summary.labels, "foreground mean"], summary.expected_folds
    labels = (*summary.labels.values(), summary.foreground)
    means = [[_fold_mean(label.dice.by_fold, fold) for fold in folds] for label in labels]
    figure = new_figure(1.0 + _INCHES_A_LABEL * len(names))
    (axes,) = add_axes(figure)
    shown = np.array([[np.nan if mean is None else mean for mean in row] for row in means])
    image = axes.imshow(shown, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for row, of_label in enumerate(means):
        for column, mean in enumerate(of_label):
            if folds[column] in summary.missing_folds:
                text, colour = ("missing" if row == 0 else ""), "black"
            else:
                text = "–" if mean is None else fixed(mean)
                colour = "white" if mean is not None and mean < 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(folds)), folds)
    axes.set_yticks(range(len(names)), shortened(names))
    figure.colorbar(image, ax=axes, label="mean Dice")
    return figure


def _dice_by_fold(summary: ScoredSummary, name: str) -> dict[str, list[float]]:
    scores = {fold.fold: [case.scores[name].dice for case in fold.cases] for fold in summary.folds}
    return {fold: [dice for dice in dices if dice is not None] for fold, dices in scores.items()}


def _fold_mean(by_fold: Mapping[str, object], fold: str) -> float | None:
    return getattr(by_fold.get(fold), "mean", None)


def _spread(n: int, n_points: int) -> float:
    """Returns where the n-th of a label's points lies beside its middle, from -0.2 to 0.2, the same each time."""
    # Steps of the golden ratio fill an interval evenly, whatever their number.
    return ((n * 0.618) % 1 - 0.5) * 0.4 if n_points > 1 else 0.0
