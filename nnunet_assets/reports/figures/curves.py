"""The learning curve of one fold, from its journal: losses, and the pseudo Dice that is no result."""

import io
import math
from collections.abc import Iterable
from typing import Any

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.reports.figures.style import COLOURS, drawable

# Line styles say the same as the colours to a black and white printer.
_LOSSES = (("train_loss", "training loss", COLOURS[0], "-"), ("val_loss", "validation loss", COLOURS[1], "--"))
_PSEUDO_DICE = (
    ("pseudo_dice_mean", "pseudo Dice", COLOURS[2], ":"),
    ("pseudo_dice_ema", "its moving average", COLOURS[2], "-"),
)


def learning_curve_png(records: Iterable[Record]) -> bytes:
    """Returns a figure of 640 x 360 pixels as PNG: losses on the left axis, pseudo Dice on the right.

    Epochs count from 0, as nnU-Net's do. Of an epoch that is there twice the later record counts; an undefined value is
    a gap in its line; a series that no record has is not drawn. Without any epoch the figure says so. The same records
    give the same bytes.

    Args:
        records: A fold's journal; only its `epoch` records are read.
    """
    # The object API: pyplot keeps global state, and a figure that nobody closes.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = {record.epoch: record.values for record in records if record.kind == "epoch" and record.epoch is not None}
    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    if epochs:
        _draw(figure, dict(sorted(epochs.items())))
    else:
        figure.text(0.5, 0.5, "No epoch has ended yet.", ha="center", va="center")
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    return png.getvalue()


def _draw(figure: Any, epochs: dict[int, Any]) -> None:
    losses = figure.add_subplot()
    losses.set(xlabel="epoch", ylabel="loss")
    pseudo_dice = losses.twinx()
    pseudo_dice.set(ylabel="pseudo Dice (random patches)", ylim=(0, 1))
    lines = []
    for axes, all_series in ((losses, _LOSSES), (pseudo_dice, _PSEUDO_DICE)):
        for key, text, colour, style in all_series:
            values = [drawable(values.get(key)) for values in epochs.values()]
            if all(math.isnan(value) for value in values):
                continue
            # An epoch alone, or between two gaps, is a line without length: in a short run points show it.
            marker = "." if len(epochs) <= 50 else ""
            lines += axes.plot(
                list(epochs), values, color=colour, linestyle=style, marker=marker, linewidth=1.2, label=text
            )
    losses.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    losses.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure.legend(handles=lines, loc="outside upper center", ncols=4, frameon=False, fontsize="small")
