"""The logger that the fold process adds to nnU-Net's own: it turns an epoch's values into one journal record.

It speaks nnU-Net's logger interface (`update_config`, `log`, `log_summary`; nnU-Net 2.7 and later) and never imports
MLflow: the parent process reads the journal and sends it on, so that tracking costs training nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from nnunet_assets.core.journal import append_record

SERIES = {
    "train_losses": "train_loss",
    "val_losses": "val_loss",
    "mean_fg_dice": "pseudo_dice_mean",
    "ema_fg_dice": "pseudo_dice_ema",
    "lrs": "learning_rate",
}
"""nnU-Net's key to our series name. What nnU-Net calls Dice while it trains is an estimate on random patches."""

CLASS_PREFIX = "dice_per_class_or_region/class_"
START, END = "epoch_start_timestamps", "epoch_end_timestamps"


class JournalLogger:
    """Collects what nnU-Net logs in an epoch and appends it to the journal when the epoch ends.

    Args:
        journal: The journal's path.
        label_names: Names of nnU-Net's evaluated labels or regions, in nnU-Net's order.
        on_epoch: Called with the epoch and its values after each epoch, in the training thread.
    """

    def __init__(
        self, journal: Path, label_names: Sequence[str], on_epoch: Callable[[int, Mapping[str, float]], None]
    ) -> None:
        self._journal = journal
        self._label_names = label_names
        self._on_epoch = on_epoch
        self._values: dict[str, float] = {}
        # One thread keeps the order and takes the fsync, which may cost 10 ms and more, off the training thread.
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writes: list[Future[None]] = []

    def update_config(self, config: Mapping[str, Any]) -> None:
        """Accepts nnU-Net's configuration, which the fold process has journalled as a whole already."""

    def log(self, key: str, value: Any, step: int) -> None:
        """Takes one value of an epoch; the last one of the epoch, its end time, completes the record.

        Args:
            key: nnU-Net's name of the series.
            value: A number.
            step: The zero-based epoch.
        """
        self._values[self._series(key)] = float(value)
        if key == END:
            self._finish_epoch(step)

    def log_summary(self, key: str, value: Any) -> None:
        """Accepts nnU-Net's summary of the validation, which the fold process reads from summary.json instead."""

    def wait(self) -> None:
        """Waits until every record so far is on the disk, or is known not to get there."""
        wait(self._writes[-1:])  # one thread writes them in order

    def close(self) -> int:
        """Waits until every record is on the disk and returns how many could not be written (a full disk)."""
        self._writer.shutdown(wait=True)
        return sum(write.exception() is not None for write in self._writes)

    def _series(self, key: str) -> str:
        if key.startswith(CLASS_PREFIX):
            return f"pseudo_dice/{self._label_names[int(key.removeprefix(CLASS_PREFIX)) - 1]}"
        return SERIES.get(key, key)

    def _finish_epoch(self, epoch: int) -> None:
        values, self._values = self._values, {}
        values["epoch_seconds"] = values.pop(END) - values.pop(START)
        if "val_loss" in values and "train_loss" in values:
            values["generalization_gap"] = values["val_loss"] - values["train_loss"]
        self._writes.append(self._writer.submit(append_record, self._journal, "epoch", values, epoch))
        self._on_epoch(epoch, values)
