"""What a fold's end shows beside its validation: how long it took, on what, and where its curve was best."""

from collections.abc import Iterable

from nnunet_assets.core.fold.commit import Manifest
from nnunet_assets.core.fold.journal import Record
from nnunet_assets.tracking.store import names


def ending_metrics(records: Iterable[Record], manifest: Manifest | None) -> dict[str, float]:
    """Returns MLflow metric to value; what is not known is absent.

    Args:
        records: The fold's journal.
        manifest: Of the finished fold; None: it is not finished.
    """
    epochs = {record.epoch: record.values for record in records if record.kind == "epoch" and record.epoch is not None}
    training_seconds = sum(values.get(names.EPOCH_SECONDS) or 0.0 for values in epochs.values())
    metrics = {
        names.EPOCHS_TRAINED: float(len(epochs)),
        names.TRAINING_SECONDS: training_seconds,
        names.TRAINING_HOURS: training_seconds / 3600,
    }
    emas = [(values.get(names.PSEUDO_DICE_EMA), epoch) for epoch, values in epochs.items()]
    defined = [(ema, -epoch) for ema, epoch in emas if ema is not None]
    if defined:
        # The first of equal ones, as nnU-Net keeps the first checkpoint.
        best, epoch = max(defined)
        metrics |= {names.BEST_EPOCH: float(-epoch), names.BEST_PSEUDO_DICE_EMA: best}
    return {**metrics, **_finished(manifest)} if manifest else metrics


def _finished(manifest: Manifest) -> dict[str, float]:
    metrics = {names.peak_memory_metric(kind): float(n) for kind, n in manifest.peak_memory_bytes.items()}
    if "validation" in manifest.seconds:
        metrics[names.VALIDATION_SECONDS] = manifest.seconds["validation"]
    if manifest.gpu_hours is not None:
        metrics[names.GPU_HOURS] = manifest.gpu_hours
    return metrics
