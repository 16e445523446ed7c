"""What each training iteration of an epoch was, and what these become for the epoch as a whole.

On disk: `fold_k/.nnunet_assets/batches.jsonl`, in the journal's form of lines: an `epoch` record holds a list for each
series, one value an iteration.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.journal import Record

LOSS, LEARNING_RATE, GRADIENT_NORM = "train_loss", "learning_rate", "gradient_norm"
SPIKE = "gradient_spike"
"""The norm of a gradient that is a spike; nothing in the other iterations."""
SECONDS, WAIT = "iteration_seconds", "wait_seconds"
"""How long an iteration took, and what part of that it waited for its batch."""

BATCH = "batch/"
"""Before each of these in MLflow and TensorBoard, where an epoch's own series have the plain names."""

GRADIENT_MEAN, GRADIENT_MAX = "gradient_norm_mean", "gradient_norm_max"
GRADIENT_SPIKES, GRADIENT_OVERFLOWS = "gradient_spikes", "gradient_overflows"
"""How many norms of an epoch are spikes, and how many no numbers: a scaler of mixed precision meets some."""

Series = Mapping[str, Sequence[float | None]]
"""By name one value an iteration; None where there is none."""


def batches_path(fold_folder: Path) -> Path:
    """Returns where the batches of a fold lie."""
    return fold_folder / OWN_FOLDER / "batches.jsonl"


def epoch_values(series: Series) -> dict[str, float]:
    """Returns what stands for the epoch in its own series; what no iteration had is absent.

    Norms that are no numbers are counted, and part of no mean.
    """
    norms = [norm for norm in series.get(GRADIENT_NORM, ()) if norm is not None]
    finite = [norm for norm in norms if math.isfinite(norm)]
    values: dict[str, float] = {}
    if finite:
        values |= {GRADIENT_MEAN: fmean(finite), GRADIENT_MAX: max(finite)}
    if norms:
        spikes = sum(spike is not None for spike in series.get(SPIKE, ()))
        values |= {GRADIENT_SPIKES: float(spikes), GRADIENT_OVERFLOWS: float(len(norms) - len(finite))}
    for name in (SECONDS, WAIT):
        known = [seconds for seconds in series.get(name, ()) if seconds is not None]
        if known:
            values[name] = fmean(known)
    return values


def iterations_of(record: Record) -> list[Record]:
    """Returns a record for each iteration of an epoch; the number of it in the whole training is its `epoch`.

    Args:
        record: A line of `batches.jsonl`; every epoch has as many iterations.
    """
    n = max((len(values) for values in record.values.values()), default=0)
    first = (record.epoch or 0) * n
    return [
        Record(
            "epoch",
            record.time_ms,
            first + number,
            {f"{BATCH}{name}": values[number] for name, values in record.values.items() if number < len(values)},
        )
        for number in range(n)
    ]
