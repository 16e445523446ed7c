"""The logger that the fold process adds to nnU-Net's own: it turns an epoch's values into one journal record.

It never imports MLflow: the parent process reads the journal and sends it on, so that tracking costs training nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from nnunet_assets.core.clock import now_ms
from nnunet_assets.core.fold.continued_fold import CONTINUES
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.journal import Record, append_record, journal_path, readable_until_epoch, write_records
from nnunet_assets.core.fold.validation_work import trained_epoch
from nnunet_assets.core.progress import Progress
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.parameters import training_parameters
from nnunet_assets.nnunet.trainer.trainer import label_names
from nnunet_assets.nnunet.training.continuation import continued_records
from nnunet_assets.nnunet.watching.epoch_logger import EpochLogger

RUN_NOTE = "mlflow.note.content"
"""MLflow's own tag for what a run's page says of it."""


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


def open_journal(
    trainer: NnunetTrainer, request: FoldAttempt, whole_batch: Mapping[str, Any], progress: Progress
) -> JournalLogger:
    """Cuts the journal back to the epochs that the trainer has and attaches it to the trainer."""
    records = records_so_far(trainer, request, whole_batch, progress)
    fold_folder = Path(trainer.output_folder)
    journal = journal_path(fold_folder)
    write_records(journal, records)

    def report(epoch: int, values: Mapping[str, float]) -> None:
        progress.epoch(trained_epoch(fold_folder, epoch, trainer.num_epochs, values))

    logger = JournalLogger(journal, label_names(trainer), report)
    trainer.logger.loggers.append(logger)
    return logger


def records_so_far(
    trainer: NnunetTrainer, request: FoldAttempt, whole_batch: Mapping[str, Any], progress: Progress
) -> list[Record]:
    """Returns the journal's start, made where there is none, and the epochs that the trainer has."""
    records, n_lost = readable_until_epoch(journal_path(Path(trainer.output_folder)), trainer.current_epoch)
    if n_lost:
        progress.say(
            f"Damaged lines cost the journal {n_lost} of {trainer.current_epoch} epochs: the curves have gaps there."
        )
    if records and records[0].kind == "start":
        return records
    if not trainer.was_initialized:
        trainer.initialize()  # whose network, loss and optimizer are what there is to know
    params = training_parameters(
        trainer, request.experiment, request.fold, overrides=request.overrides, options=request.options
    )
    for group, values in whole_batch.items():
        params[group] = {**params[group], **values}
    if request.job:  # without its node: a host's name stays here
        params["job"] = {name: value for name, value in request.job.items() if name != "node"}
    began = now_ms()
    if request.continued:
        params[CONTINUES] = request.continued.described
        records = records or continued_records(request.continued)
        began = min([began, *(record.time_ms - 1 for record in records[:1])])  # times grow from record to record
    start: dict[str, Any] = {"attempt": request.attempt, "params": params}
    if comment := request.options.watch.comment:
        start["tags"] = {RUN_NOTE: comment}
    return [Record("start", began, None, start), *records]
