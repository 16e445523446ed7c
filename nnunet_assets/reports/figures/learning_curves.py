"""The learning curves of all folds of an experiment: losses above, pseudo Dice below."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.reports.figures.style import (
    COLOURS,
    add_axes,
    drawable,
    in_style,
    new_figure,
    say_instead,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY_FOLDS = 12
"""Beyond so many a legend says nothing any more."""


@in_style
def draw_learning_curves(folds: Mapping[str, Iterable[Record]]) -> "Figure":
    """Returns training (thin) and validation loss (thick), and the moving average of the pseudo Dice, of each fold.

    The pseudo Dice is nnU-Net's estimate on random patches: the axis says so. Of an epoch that is there twice the later
    record counts; an undefined value is a gap.

    Args:
        folds: By fold, its journal. A fold without an epoch has no curve; without any, the figure says so.
    """
    epochs = {
        fold: dict(sorted({r.epoch: r.values for r in records if r.kind == "epoch" and r.epoch is not None}.items()))
        for fold, records in folds.items()
    }
    epochs = {fold: values for fold, values in epochs.items() if values}
    figure = new_figure(4.2)
    if not epochs:
        return say_instead(figure, "No epoch has ended yet.")
    losses, pseudo_dice = add_axes(figure, 2, sharex=True)
    for index, (fold, values) in enumerate(epochs.items()):
        colour = COLOURS[index % len(COLOURS)]
        for axes, series, width in (
            (losses, "train_loss", 0.5),
            (losses, "val_loss", 1.2),
            (pseudo_dice, "pseudo_dice_ema", 1.2),
        ):
            drawn = [drawable(of_epoch.get(series)) for of_epoch in values.values()]
            marker = "." if len(drawn) == 1 else ""
            label = fold if series == "pseudo_dice_ema" else None
            axes.plot(list(values), drawn, color=colour, linewidth=width, marker=marker, label=label)
    losses.set(ylabel="loss\n(thin: training, thick: validation)")
    pseudo_dice.set(xlabel="epoch", ylabel="pseudo Dice, moving average\n(random patches, no result)", ylim=(0, 1))
    if len(epochs) <= MANY_FOLDS:
        pseudo_dice.legend(loc="lower right", frameon=False, ncols=2)
    return figure
