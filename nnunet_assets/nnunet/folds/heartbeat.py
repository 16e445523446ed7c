"""Whether a fold's process still shows signs of life, by the files that it writes anyway.

It only warns: an epoch of a large model may take hours, and nobody but the user knows that it should not.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.fold.validation_again import OUTPUT_FOLDER
from nnunet_assets.core.progress import Progress
from nnunet_assets.processes.child import LOG_FILE

SILENT_SECONDS = 30 * 60
LOOK_SECONDS = 60.0


class Heartbeat:
    """Looks at a fold's folder now and then, and says once a silence that it lasts long.

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
        *fold_folder.glob("training_log_*.txt"),
        fold_folder / "validation",
        fold_folder / OUTPUT_FOLDER / "validation",
    ):
        if path.exists():
            yield path.stat().st_mtime
