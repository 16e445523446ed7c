"""What a person hears of a fold that trains: epochs, validation cases, and a long silence.

All of it is read from the files that the fold's process writes anyway; a disk that does not answer now is looked at
again later.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.fold.validation_again import OUTPUT_FOLDER
from nnunet_assets.core.fold.validation_work import ValidationWork, pass_seconds_of_others, trained_epoch
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.trained_epoch import duration
from nnunet_assets.engines.job_files import JOBS_FOLDER
from nnunet_assets.processes.child import LOG_FILE

SILENT_SECONDS = 30 * 60
LOOK_SECONDS = 60.0
STEP_SECONDS = 1.0


class EpochLines:
    """Relays a line an epoch of a fold that trains.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        progress: To whom; what the journal has already is not relayed.
    """

    def __init__(self, fold_folder: Path, progress: Progress) -> None:
        self._folder, self._progress = fold_folder, progress
        self._seen = {_key(record) for record in _records_of_earlier(fold_folder)}
        self._n_epochs: int | None = None
        self._n_bytes = -1

    def show_new(self) -> None:
        """Relays what is new; a disk that does not answer now is read again later."""
        with suppress(OSError):
            self._show_new()

    def _show_new(self) -> None:
        journal = journal_path(self._folder)
        # Asked twice a second, while the journal grows once an epoch.
        n_bytes = journal.stat().st_size if journal.exists() else 0
        if n_bytes == self._n_bytes:
            return
        for record in read_records(journal):
            if record.kind == "start":  # a group that could not be read has nothing but the reason
                trainer = record.values.get("params", {}).get("trainer", {})
                self._n_epochs = trainer.get("num_epochs")
                if _key(record) not in self._seen and (n := trainer.get("num_iterations_per_epoch")) is not None:
                    # The first epoch may take an hour to end.
                    self._progress.relay(f"The training begins: {self._n_epochs} epochs of {n} iterations.")
                self._seen.add(_key(record))
            if record.epoch is not None and _key(record) not in self._seen:
                self._seen.add(_key(record))
                self._progress.epoch(trained_epoch(self._folder, record.epoch, self._n_epochs, record.values))
        self._n_bytes = n_bytes


def _records_of_earlier(fold_folder: Path) -> list[Record]:
    with suppress(OSError):
        return list(read_records(journal_path(fold_folder)))
    return []


def _key(record: Record) -> tuple[int | None, int]:
    """Returns what tells an epoch from the same one of an earlier training."""
    return record.epoch, record.time_ms


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
        self._next_look = time.monotonic() + STEP_SECONDS
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


class Heartbeat:
    """Looks at a fold's folder now and then, and says once a silence that it lasts long.

    It only warns: an epoch of a large model may take hours, and nobody but the user knows that it should not.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        progress: Is warned.
        silent_seconds: How long a silence may last.
        look_seconds: How often the files are looked at.
    """

    def __init__(
        self,
        fold_folder: Path,
        progress: Progress,
        *,
        silent_seconds: float = SILENT_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._folder, self._progress = fold_folder, progress
        self._silent_seconds, self._look_seconds = silent_seconds, look_seconds
        self._next_look = time.monotonic() + look_seconds
        # The files may be those of an attempt of last week: a change of their times counts, not how old they are.
        self._first = self._seen = _signs_of_earlier(fold_folder)
        self._changed = time.monotonic()
        self._is_reported = False

    def look(self) -> None:
        """Looks, unless it did so a moment ago; a disk that does not answer now is looked at again later."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._look_seconds
        with suppress(OSError):
            self._look()

    def _look(self) -> None:
        if (seen := list(_signs(self._folder))) != self._seen:
            self._seen, self._changed, self._is_reported = seen, time.monotonic(), False
        silence = time.monotonic() - self._changed
        if self._is_reported or silence < self._silent_seconds:
            return
        self._is_reported = True
        since = time.strftime("%H:%M", time.localtime(time.time() - silence))
        self._progress.warn(
            f"No sign of life since {since}, for more than {self._silent_seconds / 60:.0f} minutes, while "
            f"{self._doing()}. It goes on; where that is too long for this model, end the run and start it again."
        )

    def _doing(self) -> str:
        if self._seen == self._first:
            return "starting"
        again = self._folder / OUTPUT_FOLDER
        n_predicted = len(list(((again if again.is_dir() else self._folder) / "validation").glob("*.*")))
        if n_predicted:
            return f"predicting the validation cases ({n_predicted} files written)"
        epochs = [record.epoch for record in read_records(journal_path(self._folder)) if record.epoch is not None]
        return f"training, after epoch {epochs[-1]}" if epochs else "starting"


def _signs_of_earlier(fold_folder: Path) -> list[float]:
    with suppress(OSError):
        return list(_signs(fold_folder))
    return []


def _signs(fold_folder: Path) -> Iterator[float]:
    """Yields when each file was written that grows while a fold goes on."""
    for path in (
        journal_path(fold_folder),
        fold_folder / OWN_FOLDER / LOG_FILE,
        *fold_folder.glob(f"{OWN_FOLDER}/{JOBS_FOLDER}/*/{LOG_FILE}"),
        *fold_folder.glob("training_log_*.txt"),
        fold_folder / "validation",
        fold_folder / OUTPUT_FOLDER / "validation",
    ):
        if path.exists():
            yield path.stat().st_mtime
