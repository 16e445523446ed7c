"""How far the validation of a fold is, by the predictions that nnU-Net has written."""

import time
from contextlib import suppress
from pathlib import Path

from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.fold.trained_epoch import duration
from nnunet_assets.core.fold.validation_again import OUTPUT_FOLDER
from nnunet_assets.core.fold.validation_work import ValidationWork, pass_seconds_of_others
from nnunet_assets.core.progress import Progress

LOOK_SECONDS = 1.0


class ValidationSteps:
    """Counts the validation cases of a fold that are predicted, each by the work that it is.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        progress: Hears of them; not of what an earlier attempt predicted, which is predicted again.
    """

    def __init__(self, fold_folder: Path, progress: Progress) -> None:
        self._folder, self._progress = fold_folder, progress
        self._next_look = 0.0
        self._work: ValidationWork | None = None
        self._n_done = -1
        self._of_earlier = self._predicted() or frozenset()

    def look(self) -> None:
        """Looks, unless it did so a moment ago; a disk that does not answer now is looked at again later."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        with suppress(OSError):
            self._look()

    def _look(self) -> None:
        predicted = self._predicted()
        # nnU-Net makes the folder when it begins to predict.
        if predicted is None or (predicted == self._of_earlier != frozenset()):
            return
        if self._work is None:
            self._work = ValidationWork.read(self._folder)
            if self._work is None:  # an older version began the fold
                return
            self._progress.relay(self._beginning(self._work))
        self._of_earlier &= predicted
        done = sorted((predicted - self._of_earlier) & self._work.passes.keys())
        if len(done) != self._n_done:
            self._n_done, n = len(done), len(self._work.passes)
            self._progress.step("validation cases predicted", len(done), n, self._work.share_of(done))

    def _predicted(self) -> frozenset[str] | None:
        """Returns the names of files without what stands behind a dot; None: there is no folder of predictions."""
        again = self._folder / OUTPUT_FOLDER
        folder = (again if again.is_dir() else self._folder) / "validation"
        try:
            names = [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return None
        # A case may have a dot in its name, and a format two in its ending.
        return frozenset(stem for name in names for stem in (name.rpartition(".")[0], _without_two(name)))

    def _beginning(self, work: ValidationWork) -> str:
        records = read_records(journal_path(self._folder))
        epochs = [seconds for one in records if (seconds := one.values.get("epoch_seconds")) is not None]
        seconds = work.seconds(epochs[-1] if epochs else None, pass_seconds_of_others(self._folder, work.device))
        about = "" if seconds is None else f", which may take {duration(seconds)}"
        return f"Predicting and scoring {len(work.passes)} validation cases{about}."


def _without_two(name: str) -> str:
    return name.rpartition(".")[0].rpartition(".")[0]
