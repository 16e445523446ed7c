"""Follows a fold's journal while it grows and keeps its MLflow run up to date, from a thread of the parent process.

The training process appends to the journal and knows nothing of MLflow. A server that is down, slow or silent costs
nothing but delay: what it has not taken stays in the journal, is counted, and is sent by a later pass, at the end, at
the next resumption or by `send_waiting`.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nnunet_assets.core.clock import now_ms
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.fold.commit import FinishedFold, scores_on_disk
from nnunet_assets.core.fold.journal import Record, journal_path, read_records, settled_records
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import first_offenders
from nnunet_assets.tracking.fold.fold_run import (
    Ending,
    FoldRun,
    attempt_of,
    contents_path,
    ending_metrics,
    is_same_place,
)
from nnunet_assets.tracking.fold.sender import FoldSender
from nnunet_assets.tracking.store.destination import Destination, run_url
from nnunet_assets.tracking.store.names import Status
from nnunet_assets.tracking.store.server_errors import Failure, unreachable

POLL_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
"""The longest wait between two tries; the first is one poll, and each is twice the one before."""
MAX_LOAD = 0.05
"""Of one core, for following a journal: a longer one is looked at less often."""
FLUSH_SECONDS = 30.0
WRITING_SECONDS = 2.0
INTERRUPTED_FLUSH_SECONDS = 5.0
"""After an interruption: who sends one kills what is still there soon after."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrackingReport:
    """What MLflow has of a fold.

    Attributes:
        run_id: None where MLflow never answered, or there was nothing to send.
        experiment_id: As `run_id`.
        url: Link to the run's page; None without a run or without a server.
        n_sent: Journal records that are dealt with, the refused ones included.
        n_waiting: Journal records that wait to be sent.
        n_refused: Records that MLflow will never take; `problem` says why.
        problem: Full sentences; None where MLflow has everything.
        is_done: Nothing is left to try: records, the run's ending and its files.
    """

    run_id: str | None
    experiment_id: str | None
    url: str | None
    n_sent: int
    n_waiting: int
    n_refused: int
    problem: str | None
    is_done: bool


class FoldTracker:
    """Tracks one training of one fold; used as a context manager around it. No method raises.

    It waits until the journal changes: a fold that is finished already keeps its run as it is, and a journal that is
    about to be put away with a superseded fold is left alone.

    Args:
        destination: Where the run goes.
        experiment_name: The MLflow experiment: the dataset's name, unless the user chose another.
        fold_folder: nnU-Net's `fold_k`.
        tags: What identifies the run, from `names.fold_tags`.
        run_name: The run's name for people.
        poll_seconds: How often the journal is looked at.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        experiment_name: str,
        fold_folder: Path,
        tags: Mapping[str, str],
        run_name: str,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        run = FoldRun(redacted(destination.tracking_uri), experiment_name, run_name, dict(tags))
        self._sender = FoldSender(destination, fold_folder, run, follows=True)
        self._tracking_uri = destination.tracking_uri
        self._fold_folder = fold_folder
        self._poll_seconds = poll_seconds
        self._wake = threading.Event()
        self._ending: tuple[Ending, float] | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True, name=f"mlflow {run_name}")
        self._report: TrackingReport | None = None

    def __enter__(self) -> Self:
        """Starts following the journal, which need not be there yet."""
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the run, if `finish` did not: FINISHED, or FAILED by an exception, or KILLED by an interruption."""
        if error is None:
            self.finish("FINISHED")
        elif isinstance(error, Exception):
            self.finish("FAILED", failure="crashed")
        else:
            self.finish("KILLED", failure="interrupted", timeout_seconds=INTERRUPTED_FLUSH_SECONDS)

    def finish(
        self,
        status: Status,
        files: Sequence[Path] = (),
        contents: Mapping[str, bytes] | None = None,
        *,
        failure: str = "none",
        finished: FinishedFold | None = None,
        timeout_seconds: float = FLUSH_SECONDS,
    ) -> TrackingReport:
        """Sends what waits, uploads the files, ends the run, and reports; a second call returns the first's report.

        Args:
            status: What MLflow shows.
            files: Uploaded under their own names after `contents`, in this order.
            contents: File name to bytes, for what is not on disk; kept in the fold's folder.
            failure: The class of what ended the training.
            finished: The fold, as its owner read it last; None: it is read where it is needed.
            timeout_seconds: How long to try; what is not done by then is left to `send_waiting`.
        """
        if self._report is None:
            self.begin_end(status, files, contents, failure=failure, finished=finished, timeout_seconds=timeout_seconds)
            if self._thread.is_alive():
                # A little longer: at the end of its time it writes down how far it came.
                self._thread.join(timeout_seconds + WRITING_SECONDS)
            self._report = _report(self._sender, self._fold_folder, self._tracking_uri)
        return self._report

    def begin_end(
        self,
        status: Status,
        files: Sequence[Path] = (),
        contents: Mapping[str, bytes] | None = None,
        *,
        failure: str = "none",
        finished: FinishedFold | None = None,
        timeout_seconds: float = FLUSH_SECONDS,
    ) -> None:
        """Has what waits sent and the run ended, as `finish` does, but waits for nothing; a second call is ignored."""
        if self._ending is not None:
            return
        paths = [*self._write(contents or {}), *files]
        # A fold that is superseded takes its files along; at the old place lie another training's.
        relative = [os.path.relpath(path, self._fold_folder) for path in paths]
        records = self._records()
        ended_ms = max([now_ms(), *(record.time_ms for record in records)])  # not before what the journal has
        ending = Ending(status, ended_ms, relative, self._ending_metrics(records, finished), failure)
        # On a full disk the thread tries it again. Before the thread knows the ending, or this would undo its work.
        with suppress(OSError):
            self._sender.keep(ending)
        self._sender.finished = finished
        self._ending = (ending, time.monotonic() + timeout_seconds)
        self._wake.set()
        self._start()

    def _ending_metrics(self, records: Sequence[Record], finished: FinishedFold | None) -> dict[str, float]:
        return ending_metrics(records, finished.manifest if finished else None)

    def _records(self) -> list[Record]:
        with suppress(OSError):
            return list(read_records(journal_path(self._fold_folder)))
        return []

    def _start(self) -> None:
        if self._thread.ident is not None:
            return
        try:
            self._thread.start()
        except RuntimeError as error:
            self._sender.failure = Failure("unreachable", f"The thread that sends to MLflow cannot start: {error}.")

    def _write(self, contents: Mapping[str, bytes]) -> list[Path]:
        if not journal_path(self._fold_folder).exists():
            # There will be no run, and a fold that never began must not get a folder.
            return []
        paths = [contents_path(self._fold_folder, name) for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            try:
                write_atomically(path, content)
            except OSError as error:
                # The sender then says that the file is not there.
                _logger.warning("%s cannot be written: %s.", path, error)
        return paths

    def _follow(self) -> None:
        wait, took_before = self._poll_seconds, 0.0
        reported: str | None = None
        while self._ending is None:
            begun = time.thread_time()
            is_sent = self._sender.send()
            took = time.thread_time() - begun
            rest, took_before = min(took, took_before) / MAX_LOAD, took  # the first pass also imports MLflow
            if self._sender.problem != reported:
                reported = self._sender.problem
                _logger.log(
                    logging.WARNING if reported else logging.INFO, "%s", reported or "MLflow has every record again."
                )
            is_soon = is_sent or self._sender.is_early
            wait = max(self._poll_seconds, rest) if is_soon else 2 * wait
            wait = min(wait, MAX_WAIT_SECONDS)
            self._wake.wait(wait)
        _drain(self._sender, *self._ending)


def send_waiting(
    destination: Destination,
    fold_folder: Path,
    *,
    timeout_seconds: float = FLUSH_SECONDS,
) -> TrackingReport:
    """Sends what a fold's journal holds and MLflow does not have, ends the run if its ending is known, and reports.

    A fold that no `FoldTracker` ever followed has no identity: `problem` says so.

    Args:
        destination: Another one than the fold was tracked at gets a run of its own.
        fold_folder: nnU-Net's `fold_k`.
        timeout_seconds: How long to try.
    """
    known = FoldRun.load(fold_folder)
    records = settled_records(fold_folder)
    if known is None or not records:
        return _untracked(fold_folder, len(records))
    ending = known.ending if known.attempt == attempt_of(records[0]) else None
    run = FoldRun(redacted(destination.tracking_uri), known.experiment_name, known.run_name, known.tags)
    sender = FoldSender(destination, fold_folder, run, follows=False)
    _drain(sender, ending, time.monotonic() + timeout_seconds)
    return _report(sender, fold_folder, destination.tracking_uri)


def known_report(destination: Destination, fold_folder: Path) -> TrackingReport:
    """Returns what MLflow has of a fold by what the disk knows; asks no server."""
    known = FoldRun.load(fold_folder)
    records = settled_records(fold_folder)
    if known is None or not records:
        return _untracked(fold_folder, len(records))
    if not is_same_place(known, destination.tracking_uri) or known.attempt != attempt_of(records[0]):
        known.forget()
    known.cut_back(records)
    if known.has_scores_to_tell(scores_on_disk(fold_folder), records):
        known.is_closed = False
    return _report_of(known, destination.tracking_uri, len(records), None)


def _untracked(fold_folder: Path, n_records: int) -> TrackingReport:
    problem = f"{fold_folder} was never tracked: train it with tracking on." if n_records else None
    return TrackingReport(None, None, None, 0, n_records, 0, problem, is_done=not n_records)


def _drain(sender: FoldSender, ending: Ending | None, until: float) -> None:
    """Makes passes until nothing waits, the time is over, or only a person can help."""
    wait = POLL_SECONDS
    while True:
        sender.send(ending, until=until)
        left = until - time.monotonic()
        is_hopeless = sender.failure is not None and sender.failure.cause in ("unauthorized", "unusable", "refused")
        if sender.is_done or is_hopeless or left <= 0:
            return
        time.sleep(min(wait, left))
        wait = POLL_SECONDS if sender.is_early else min(2 * wait, MAX_WAIT_SECONDS)


def _report(sender: FoldSender, fold_folder: Path, tracking_uri: str) -> TrackingReport:
    return _report_of(sender.run, tracking_uri, len(settled_records(fold_folder)), sender.problem)


def _report_of(run: FoldRun, tracking_uri: str, n_records: int, problem: str | None) -> TrackingReport:
    url = run_url(tracking_uri, run.experiment_id, run.run_id) if run.run_id and run.experiment_id else None
    n_waiting = max(0, n_records - len(run.sent))
    is_open = run.ending is not None and not run.is_closed
    silence = None
    if n_waiting and run.sent:
        silence = (
            f"MLflow at {redacted(tracking_uri)} has taken {len(run.sent):,} of {n_records:,} records in the time that "
            "it had."
        )
    elif n_waiting or is_open:
        # A call that hangs has not failed so far.
        silence = unreachable(tracking_uri, "no answer yet")
    elif run.files:
        silence = f"Not uploaded so far: {first_offenders(run.files)}."
    return TrackingReport(
        run.run_id,
        run.experiment_id,
        url,
        n_sent=len(run.sent),
        n_waiting=n_waiting,
        n_refused=run.n_refused,
        problem=problem or silence,
        is_done=silence is None,
    )
