"""What nnU-Net logs while it trains, epoch by epoch and under our names, for the loggers that the fold process adds.

It speaks nnU-Net's logger interface: `update_config`, `log`, `log_summary`; nnU-Net 2.7 and later.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

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


class EpochLogger(ABC):
    """Collects what nnU-Net logs in an epoch; what becomes of it when the epoch ends is for a subclass to say.

    A trainer of the user's own may log anything, and trains all the same.

    Args:
        label_names: Names of nnU-Net's evaluated labels or regions, in nnU-Net's order.

    Attributes:
        n_refused: How many values were no numbers.
    """

    is_live = True
    """Whether the epochs are those of a training that runs now, so that it may measure their times itself."""

    def __init__(self, label_names: Sequence[str]) -> None:
        self._label_names = label_names
        self.n_refused = 0
        self._values: dict[str, float] = {}

    @abstractmethod
    def take_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Takes a whole epoch, in the training thread.

        Args:
            epoch: Zero-based.
            values: Series name to value; NaN where it is undefined, as for a label that was in no patch.
        """

    def update_config(self, config: Mapping[str, Any]) -> None:  # noqa: B027 - nnU-Net calls it of every logger
        """Accepts nnU-Net's configuration, which the fold process has journalled as a whole already."""

    def log(self, key: str, value: Any, step: int) -> None:
        """Takes one value of an epoch; the last one of the epoch, its end time, completes it.

        Args:
            key: nnU-Net's name of the series.
            value: A number.
            step: The zero-based epoch.
        """
        if self.is_live and key in (START, END):
            value = time.monotonic()  # nnU-Net's own times follow the clock, which somebody may set meanwhile
        try:
            self._values[self._series(key)] = float(value)
        except (TypeError, ValueError, ArithmeticError, RuntimeError):  # the last is torch's, of more than one number
            self.n_refused += 1
        if key == END:
            self._finish_epoch(step)

    def log_summary(self, key: str, value: Any) -> None:  # noqa: B027 - as above
        """Accepts nnU-Net's summary of the validation, which the fold process reads from summary.json instead."""

    def _series(self, key: str) -> str:
        if key.startswith(CLASS_PREFIX):
            number = int(key.removeprefix(CLASS_PREFIX))
            is_known = 1 <= number <= len(self._label_names)
            return f"pseudo_dice/{self._label_names[number - 1] if is_known else f'class_{number}'}"
        return SERIES.get(key, key)

    def _finish_epoch(self, epoch: int) -> None:
        values, self._values = self._values, {}
        start, end = values.pop(START, None), values.pop(END, None)
        # In times that plain nnU-Net took by the clock, an epoch during which that was set back has no length.
        if start is not None and end is not None and end >= start:
            values["epoch_seconds"] = end - start
        if "val_loss" in values and "train_loss" in values:
            values["generalization_gap"] = values["val_loss"] - values["train_loss"]
        self.take_epoch(epoch, values)
