"""The logger that the fold process adds to nnU-Net's own: it turns an epoch's values into one journal record.

It never imports MLflow: the parent process reads the journal and sends it on, so that tracking costs training nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from nnunet_assets.core.fold.journal import append_record
from nnunet_assets.nnunet.training.epoch_logger import EpochLogger


class JournalLogger(EpochLogger):
    """Appends the values of each epoch to the journal when the epoch ends.

    Args:
        journal: The journal's path.
        label_names: As for `EpochLogger`.
        on_epoch: Called with the epoch and its values after each epoch, in the training thread.
    """

    def __init__(
        self, journal: Path, label_names: Sequence[str], on_epoch: Callable[[int, Mapping[str, float]], None]
    ) -> None:
        super().__init__(label_names)
        self._journal = journal
        self._on_epoch = on_epoch
        # One thread keeps the order and takes the fsync, which may cost 10 ms and more, off the training thread.
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writes: list[Future[None]] = []

    def take_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Sends the epoch's record on its way to the disk."""
        self._writes.append(self._writer.submit(append_record, self._journal, "epoch", values, epoch))
        self._on_epoch(epoch, values)

    def wait(self) -> None:
        """Waits until every record so far is on the disk, or is known not to get there."""
        wait(self._writes[-1:])  # one thread writes them in order

    def close(self) -> int:
        """Waits until every record is on the disk and returns how many could not be written (a full disk)."""
        self._writer.shutdown(wait=True)
        return sum(write.exception() is not None for write in self._writes)
