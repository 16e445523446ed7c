"""What a trial scored epoch by epoch, from its fold's journal, and how trials are compared: after equally many epochs.

The score is nnU-Net's moving average of the pseudo Dice, an estimate on random patches. It ranks trials and is no
result: that is the Dice of whole cases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_assets.core.fold.journal import Record, journal_path, read_records

SCORE = "pseudo_dice_ema"


@dataclass(frozen=True)
class Curve:
    """The epochs of a trial.

    Attributes:
        scores: Number of epochs trained (from 1) to pseudo Dice; an epoch without one is left out.
        n_epochs: How many it has.
        seconds: What they took together.
    """

    scores: Mapping[int, float] = field(default_factory=dict)
    n_epochs: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Curve":
        """Returns the curve of a journal; of an epoch that was trained again, the last values count."""
        epochs = {record.epoch: record.values for record in records if record.epoch is not None}
        scores = {epoch + 1: values[SCORE] for epoch, values in epochs.items() if values.get(SCORE) is not None}
        seconds = sum(values.get("epoch_seconds") or 0.0 for values in epochs.values())
        return cls(dict(sorted(scores.items())), max(epochs, default=-1) + 1, seconds)

    @classmethod
    def read(cls, fold_folder: Path) -> "Curve":
        """Returns the curve of a fold; empty where it has not begun."""
        return cls.of(read_records(journal_path(fold_folder)))

    @property
    def last(self) -> tuple[int, float] | None:
        """The last score, with after how many epochs it was reached; None: there is none."""
        return max(self.scores.items(), default=None)

    @property
    def rank(self) -> tuple[float, float]:
        """What trials are ranked by, the best first: who went on longer, and among those of equal length the score.

        A trial that was stopped was worse than others after the same number of epochs; its score is compared with
        those of trials that were stopped there too, never with one of a later epoch.
        """
        n_epochs, score = self.last or (0, 0.0)
        return -n_epochs, -score


class CurveReader:
    """Reads the curves of folds again and again, and a journal only where something was written since.

    A long search is looked at each second, and most of its trials ended hours ago.
    """

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, int, int], Curve]] = {}

    def read(self, fold_folder: Path) -> Curve:
        """Returns the curve of a fold; empty where it has not begun."""
        try:
            status = journal_path(fold_folder).stat()
        except FileNotFoundError:
            return Curve()
        is_at = (status.st_ino, status.st_size, status.st_mtime_ns)
        before = self._seen.get(fold_folder)
        if before is None or before[0] != is_at:
            # What is written while it is read is read with the next look: the size was asked for before.
            before = self._seen[fold_folder] = (is_at, Curve.read(fold_folder))
        return before[1]


def best_first(curves: Mapping[int, Curve]) -> list[int]:
    """Returns the numbers of trials, the best one first; of two that are equal the one that began first."""
    return sorted(curves, key=lambda number: (*curves[number].rank, number))
