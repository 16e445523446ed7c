"""An epoch that a fold has trained, as those are told of it who follow the training."""

from collections.abc import Mapping
from dataclasses import dataclass

from nnunet_assets.core.text.numbers import fixed

_NAMES = {"train loss": "train_loss", "val loss": "val_loss", "pseudo Dice": "pseudo_dice_mean"}


@dataclass(frozen=True)
class TrainedEpoch:
    """An epoch; its text is `Epoch 2 (3 of 1000): train loss 0.1234, ..., about 13:05 left with the validation`.

    Attributes:
        epoch: From 0, as in nnU-Net's own log, in the journal and in MLflow.
        n_epochs: Of the whole training; None: not known.
        values: Series name to value; what is undefined, or was not logged, is left out of the text.
        validation_seconds: How long the validation may take that follows the last epoch; None: nobody knows.
    """

    epoch: int
    n_epochs: int | None
    values: Mapping[str, float | None]
    validation_seconds: float | None = None

    @property
    def n_done(self) -> int:
        """How many epochs are trained."""
        return self.epoch + 1

    @property
    def seconds_left(self) -> float | None:
        """How long the fold may take yet, with the validation where that is known; None: not known."""
        seconds = self.values.get("epoch_seconds")
        if seconds is None or not self.n_epochs:
            return None
        return seconds * (self.n_epochs - self.n_done) + (self.validation_seconds or 0.0)

    def __str__(self) -> str:
        """Returns what a person follows of it."""
        of_all = f" ({self.n_done} of {self.n_epochs})" if self.n_epochs else ""
        shown = [
            f"{name} {fixed(value, 4)}" for name, key in _NAMES.items() if (value := self.values.get(key)) is not None
        ]
        if (seconds := self.values.get("epoch_seconds")) is not None:
            shown.append(f"{seconds:.1f} s")
        if (left := self.seconds_left) is not None:
            validation = "and the validation" if self.validation_seconds is None else "with the validation"
            shown.append(f"about {duration(left)} left {validation}")
        return f"Epoch {self.epoch}{of_all}: {', '.join(shown)}"


def duration(seconds: float) -> str:
    """Returns hours, minutes and seconds: `13:05:09`, or `5:09` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
