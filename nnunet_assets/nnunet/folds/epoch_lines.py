"""What a person follows of a fold that trains, by its journal: that it begins, and each epoch."""

from contextlib import suppress
from pathlib import Path

from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.fold.validation_work import trained_epoch
from nnunet_assets.core.progress import Progress


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
