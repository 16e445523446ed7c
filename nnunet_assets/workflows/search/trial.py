"""One trial, trained as any fold is, in a thread of the process that Tune keeps for it.

Tune asks for one report after the other; the training does not wait for that. Where Tune ends the trial, the thread is
ended as by Ctrl-C: the last checkpoint stands, and the MLflow run says that it was interrupted.
"""

import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.regular_file import open_to_append
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.search.trial_files import search_folder
from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.errors import ConfigError, FoldError, NnunetAssetsError, PlanningError
from nnunet_assets.processes.child import LOG_FILE
from nnunet_assets.processes.exit_codes import FailureClass
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import SEARCH
from nnunet_assets.workflows.fold.chosen_engine import chosen_engine
from nnunet_assets.workflows.fold.start import prepared_request, train_from_there
from nnunet_assets.workflows.fold.train import AskedNow
from nnunet_assets.workflows.search.direction import DONE, ENDED, EPOCHS, FAILURE, PROBLEM
from nnunet_assets.workflows.search.waiting_runs import send_what_waits

OWNED_SECONDS = 60.0
"""How long the process of an earlier supervisor, which was killed, may take to end."""
END_SECONDS = 60.0

DRIVER_FOLDER = "driver"
"""In the search's folder, what its driver writes."""

KEYS = {"train_loss": "training_loss", "val_loss": "validation_loss"}
"""Series of the journal that users of Tune know by other names; the others keep theirs."""


@dataclass(frozen=True)
class TrialWork:
    """What all trials of a search have in common.

    Attributes:
        settings: Of the project.
        project: What it declares.
        config: The search.
        destination: Where the folds' runs go; None: nowhere.
    """

    settings: Settings
    project: Project
    config: SearchConfig
    destination: Destination | None


def report_of(epoch: int, values: Mapping[str, float | None]) -> dict[str, Any]:
    """Returns what Tune is told of an epoch; what is undefined is left out."""
    known = {KEYS.get(key, key): value for key, value in values.items() if value is not None}
    return {**known, "epoch": epoch, EPOCHS: epoch + 1}


@dataclass
class TrialRun:
    """A trial that trains.

    Attributes:
        work: What all have in common.
        number: Of the trial.
        point: What is varied.
    """

    work: TrialWork
    number: int
    point: Mapping[str, Any]
    _reports: "queue.Queue[dict[str, Any] | BaseException]" = field(default_factory=queue.Queue)
    _is_ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins, or goes on from the fold's checkpoint."""
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"trial {self.number}")
        self._thread.start()

    def next_report(self, seconds: float) -> dict[str, Any] | None:
        """Returns the next report; None: there was none for so long.

        Raises:
            Exception: Something of ours failed, that is no result of the trial.
        """
        try:
            report = self._reports.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(report, BaseException):
            raise report
        return report

    def end(self) -> None:
        """Ends the training, whose process is gone when this returns, and waits for its run in MLflow."""
        self._is_ended.set()
        if self._thread:
            self._thread.join(END_SECONDS)
        work = self.work
        if self._thread and not self._thread.is_alive() and work.destination:
            fold = work.config.trial(self.number, self.point).identity.fold_folder(
                work.settings.roots, work.config.fold_key
            )
            send_what_waits(work.settings, work.destination, [fold], timeout_seconds=END_SECONDS)

    def _run(self) -> None:
        try:
            self._reports.put(self._trained())
        except KeyboardInterrupt:
            self._reports.put({DONE: True, ENDED: "interrupted"})
        except FoldFailed as error:
            # A fold that somebody interrupted says nothing of its point: Tune starts the trial again.
            is_result = error.failure is not FailureClass.INTERRUPTED
            self._reports.put(_failed(error.failure, error) if is_result else error)
        except (ConfigError, PlanningError, FoldError) as error:
            self._reports.put(_failed(FailureClass.BAD_INPUT, error))
        except NnunetAssetsError as error:
            # A cluster or a disk that refuses, a file that is damaged: the next run tries it again.
            self._reports.put(_failed(FailureClass.CRASHED, error))
        except BaseException as error:  # noqa: BLE001 (it is raised where Tune sees it)
            self._reports.put(error)

    def _trained(self) -> dict[str, Any]:
        work, fold = self.work, self.work.config.fold_key
        config = work.config.trial(self.number, self.point)
        log = search_folder(work.settings.roots, work.config.of.dataset, work.config.name) / DRIVER_FOLDER / LOG_FILE
        progress = _Reporting(self._reports, self._is_ended, log, f"Trial {self.number}: ")
        journal = journal_path(config.identity.fold_folder(work.settings.roots, fold))
        for record in _epochs(journal):
            progress.report(record.epoch or 0, record.values)
        until = time.monotonic() + OWNED_SECONDS
        while True:
            try:
                trained = train_from_there(
                    work.settings,
                    prepared_request(work.settings, work.project, config, fold, AskedNow(), progress=progress),
                    work.destination,
                    progress,
                    retrain=False,
                    engine=chosen_engine(work.settings, config),
                    tags={SEARCH: work.config.identity.name_in_dataset},
                )
                break
            except FoldFailed as error:
                if error.failure is not FailureClass.OWNED or time.monotonic() > until:
                    raise
                time.sleep(1)
                progress.poll()
        epochs = (report_of(one.epoch, one.values) for one in reversed(trained.records) if one.epoch is not None)
        return {**next(epochs, {}), DONE: True, ENDED: "finished"}


def _epochs(journal: Path) -> list[Record]:
    return [record for record in read_records(journal) if record.epoch is not None]


def _failed(failure: FailureClass, error: Exception) -> dict[str, Any]:
    return {DONE: True, ENDED: "failed", FAILURE: str(failure), PROBLEM: str(error)}


class _Reporting(Silent):
    """Makes a report of each epoch, and writes the rest into the driver's log."""

    def __init__(
        self,
        reports: "queue.Queue[dict[str, Any] | BaseException]",
        is_ended: threading.Event,
        log: Path,
        beginning: str,
    ) -> None:
        self._reports, self._is_ended, self._log, self._beginning = reports, is_ended, log, beginning

    def say(self, sentence: str) -> None:
        with suppress(OSError), open_to_append(self._log) as log:
            log.write(f"{self._beginning}{sentence}\n".encode())

    def warn(self, sentence: str) -> None:
        self.say(sentence)

    def epoch(self, trained: TrainedEpoch) -> None:
        self.report(trained.epoch, trained.values)

    def report(self, epoch: int, values: Mapping[str, float | None]) -> None:
        self._reports.put(report_of(epoch, values))

    def poll(self) -> None:
        if self._is_ended.is_set():
            raise KeyboardInterrupt
