"""The gradient's norm of one fold by epoch, from its journal, with the spikes marked, and the time of an iteration."""

import io
from collections.abc import Iterable
from typing import Any

from nnunet_assets.core.fold.iterations import GRADIENT_MAX, GRADIENT_MEAN, GRADIENT_SPIKES, SECONDS, WAIT
from nnunet_assets.core.fold.journal import Record
from nnunet_assets.reports.figures.style import COLOURS, drawable

_NORMS = ((GRADIENT_MEAN, "mean norm", COLOURS[0], "-"), (GRADIENT_MAX, "largest norm", COLOURS[1], "--"))
_TIMES = ((SECONDS, "iteration", COLOURS[2], "-"), (WAIT, "of it wait for the batch", COLOURS[2], ":"))


def gradient_curve_png(records: Iterable[Record]) -> bytes | None:
    """Returns a figure of 640 x 360 pixels as PNG: norms on the left axis, by powers of ten, seconds on the right.

    Epochs count from 0. An epoch with spikes has a mark on its largest norm. The same records give the same bytes; None
    where no epoch has a norm or a time.

    Args:
        records: A fold's journal; only its `epoch` records are read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    epochs = {record.epoch: record.values for record in records if record.kind == "epoch" and record.epoch is not None}
    known = {
        epoch: values
        for epoch, values in sorted(epochs.items())
        if any(values.get(key) is not None for key, *_ in (*_NORMS, *_TIMES))
    }
    if not known:
        return None
    figure = Figure(figsize=(6.4, 3.6), dpi=100, layout="constrained")
    _draw(figure, known)
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
    return png.getvalue()


def _draw(figure: Any, epochs: dict[int, Any]) -> None:
    norms = figure.add_subplot()
    norms.set(xlabel="epoch", ylabel="norm of the gradient", yscale="log")
    times = norms.twinx()
    times.set(ylabel="seconds")
    marker = "." if len(epochs) <= 50 else ""
    lines = []
    for axes, all_series in ((norms, _NORMS), (times, _TIMES)):
        for key, text, colour, style in all_series:
            values = [drawable(values.get(key)) for values in epochs.values()]
            lines += axes.plot(
                list(epochs), values, color=colour, linestyle=style, marker=marker, linewidth=1.2, label=text
            )
    spikes = [epoch for epoch, values in epochs.items() if values.get(GRADIENT_SPIKES)]
    if spikes:
        heights = [drawable(epochs[epoch].get(GRADIENT_MAX)) for epoch in spikes]
        lines += norms.plot(spikes, heights, color=COLOURS[6], linestyle="", marker="x", label="with spikes")
    times.set_ylim(bottom=0)
    norms.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    norms.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    figure.legend(handles=lines, loc="outside upper center", ncols=5, frameon=False, fontsize="small")
