"""Carries a fold's journal to its MLflow run: the one way by which records get there, live, at the end and later.

A pass is idempotent: it finds or makes the run, sends what the run does not have, and ends the run where an ending is
known. Whatever fails ends the pass; the next one goes on after the last batch that MLflow took. How a record or a file
is written into the run, `run_writer` knows.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.files.regular_file import read_regular
from nnunet_assets.core.fold.commit import MANIFEST_FILE, FinishedFold, scores_on_disk
from nnunet_assets.core.fold.journal import (
    Record,
    journal_path,
    n_saved_epochs,
    read_records,
    saved_epochs_path,
    settled,
)
from nnunet_assets.core.fold.version_history import mixed_in_words, mixed_versions, read_stages
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.processes.machine.fold_samples import system_path
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun, alone, attempt_of, is_same_place
from nnunet_assets.tracking.fold.run_writer import RunWriter
from nnunet_assets.tracking.fold.watched import add_panels, cut_back_watched, send_batches
from nnunet_assets.tracking.runs.batches import groups
from nnunet_assets.tracking.runs.cross_validation_run import PARENT, parent_of_fold
from nnunet_assets.tracking.runs.runs import active_run, holds_only, is_of_fold, run_of_attempt
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import Failure, explain

if TYPE_CHECKING:
    from mlflow import MlflowClient

RESULT_FILES = ("../dataset.json", f"{OWN_FOLDER}/{MANIFEST_FILE}", SUMMARY_FILE)
"""What a result is read from again, relative to the fold's folder; see `fold_records`."""


class _OutOfTimeError(Exception):
    """The pass was to end by now."""


class _TooEarlyError(Exception):
    """The run that this one is nested in is not in MLflow so far."""


class FoldSender:
    """Sends one fold's journal to one destination.

    Args:
        run: The fold's identity; what the disk knows about the same attempt at the same place is added to it.
        follows: A training is about to go on or to begin. Then nothing is sent until the journal changes, and a run
            that an earlier process ended is set to RUNNING.

    Attributes:
        failure: Why the last pass ended early; None where it did not.
        is_early: Whether that was because the run that this one is nested in is not in MLflow so far.
        finished: The fold, as its owner read it last; None: it is read where it is needed.
    """

    def __init__(self, destination: Destination, fold_folder: Path, run: FoldRun, *, follows: bool) -> None:
        self.run = run
        self.failure: Failure | None = None
        self.finished: FinishedFold | None = None
        self._destination = destination
        self._pseudonyms = destination.pseudonyms(run.tags.get(names.DATASET))
        self._folder = fold_folder
        self._follows = follows
        self._is_live = False
        self._is_open = False
        self._is_copy = False
        self.is_early = False
        self._last_epoch = 0
        self._untold: Ending | None = None
        self._client: MlflowClient | None = None
        self._before = self._seen = self._stamp() if follows else None
        self._damage: str | None = None
        self._writer = RunWriter(destination, fold_folder, self._pseudonyms)

    def send(self, ending: Ending | None = None, *, until: float = float("inf")) -> bool:
        """Makes one pass; never raises.

        Args:
            ending: How the training ended; None while it goes on, or where only the disk may know.
            until: On `time.monotonic`'s clock; no call to MLflow starts later.

        Returns:
            Whether it came to its end; if not, `failure` says why.
        """
        try:
            stamp = self._stamp()
            if stamp is None or (ending is None and self.failure is None and stamp == self._seen):
                return True
            self._is_live = self._follows and stamp != self._before
            with alone(self._folder):
                self._pass(ending, until)
            self._seen = stamp
            self.failure, self.is_early = None, False
        except _TooEarlyError as error:
            self.failure, self.is_early = Failure("unreachable", str(error)), True
        except _OutOfTimeError:
            self.failure = self.failure or Failure("unreachable", "There was no time left to send everything.")
        except Exception as error:  # noqa: BLE001 (tracking must never end a training; it is counted and told)
            self.failure = explain(error, self._destination.tracking_uri)
        return self.failure is None

    @property
    def is_done(self) -> bool:
        """Whether a further pass would have nothing to do."""
        return self.failure is None and not self.run.files

    def keep(self, ending: Ending) -> None:
        """Puts an ending on the disk while a pass of another thread may hang in a call to a server.

        Else a process that exits before that call returns would leave a run that nobody knows to be over.
        """
        # Before its first pass a sender does not know what the disk does; that pass then writes the ending itself.
        if self.run.attempt is not None:
            self._untold = ending
            self._take(ending)
            self.run.save(self._folder)

    @property
    def problem(self) -> str | None:
        """What a person should know: why something waits, and what MLflow does not have; None where all is well."""
        # That a nested run waits for the other one is nobody's business, unless it has to end so.
        is_told = self.failure is not None and not (self.is_early and self.run.ending is None)
        sentence = self.failure.sentence if self.failure and is_told else ""
        sentences = [sentence, self._damage or "", *self._writer.problems]
        return " ".join(filter(None, sentences)) or None

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...] | None:
        """Returns what changes when there may be something to send; None: there is no journal yet."""
        journal, saved = map(_stat, (journal_path(self._folder), saved_epochs_path(self._folder)))
        return None if journal is None else (journal, saved)

    def _pass(self, ending: Ending | None, until: float) -> None:
        # Counted first: the journal may grow meanwhile, and a line that is only not yet read is not damaged.
        n_lines = read_regular(journal_path(self._folder)).count(b"\n")
        n_saved = n_saved_epochs(self._folder)
        whole = list(read_records(journal_path(self._folder)))
        damaged = f"Line {len(whole) + 1} of {journal_path(self._folder)} is damaged"
        self._damage = f"{damaged}: it and the lines after it cannot be sent." if len(whole) < n_lines else None
        # MLflow cannot take a value back: an epoch that may be trained again waits.
        records = settled(whole, n_saved)
        if not records:
            return
        self._last_epoch = max((record.epoch for record in records if record.epoch is not None), default=0)
        self._recall(attempt_of(records[0]), ending)
        # What cannot be read was not cut back.
        if self._damage is None and self.run.cut_back(records):
            cut_back_watched(self.run, self._folder)
            self._is_open = False
        over = self._known_before(ending)
        if over is not None and self.run.has_scores_to_tell(self._scores(), records):
            over = replace(over, files=[*over.files, *RESULT_FILES])
            self._take(over)
        self.run.folder = str(self._folder.absolute())
        self.run.save(self._folder)
        if self._client is None:
            self._client = connect(self._destination)
        self._ensure_run(self._client, records)
        for group in groups(records[len(self.run.sent) :]):
            _check_time(until)
            self._writer.write(self._client, self.run, group, self._last_epoch)
            self.run.sent += [record.time_ms for record in group]
            self.run.save(self._folder)
        self._send_samples(self._client, until)
        self._send_watched(self._client, n_saved, until)
        if over is not None and over == self.run.ending and not self.run.is_closed:
            _check_time(until)
            finished = (self.finished or FinishedFold.read(self._folder)) if over.status == "FINISHED" else None
            self._writer.end(self._client, self.run, over, finished, self._last_epoch)
            self.run.save(self._folder)
        self._upload_files(self._client, until)

    def _scores(self) -> str | None:
        """Returns the digest of the scores that the fold has now; None: it is not finished."""
        return self.finished.scores if self.finished else scores_on_disk(self._folder)

    def _recall(self, attempt: str, ending: Ending | None) -> None:
        """Takes up what the disk knows: another process may have sent since, or this is another training."""
        known = FoldRun.load(self._folder)
        if known is not None and is_same_place(known, self._destination.tracking_uri):
            self.run = replace(known, tags=self.run.tags)
            if self.run.is_of_original(self._folder):
                self._is_copy = True
                self._forget()
        self.run = self.run.for_attempt(attempt)
        if self._is_live and ending is None:
            self.run.ending = None
        elif ending is not None and ending != self.run.ending and (self._is_live or self._is_news(ending)):
            self._take(ending)

    def _known_before(self, ending: Ending | None) -> Ending | None:
        """Returns the ending that was known before this pass read the journal; None: there was none.

        One that another thread kept meanwhile is of more records than this pass has seen: the next pass is told it.
        """
        return None if ending is None and self.run.ending == self._untold else self.run.ending

    def _is_news(self, ending: Ending) -> bool:
        """Says whether a training that has ended is known to have ended otherwise.

        Whoever watches it may be stopped when the fold is finished already: the next one to look finds it finished.
        """
        known = self.run.ending
        return known is None or (ending.status == "FINISHED" and known.status != "FINISHED")

    def _take(self, ending: Ending) -> None:
        self.run.ending, self.run.is_closed = ending, False
        self.run.add_files(ending.files if self._destination.takes_files else ())

    def _forget(self) -> None:
        """Begins anew at MLflow, with every record, file and the ending."""
        self.run.forget()
        if self.run.ending is not None:
            self._take(self.run.ending)

    def _ensure_run(self, client: "MlflowClient", records: Sequence[Record]) -> None:
        """Finds the run by its id, else by its attempt, else makes it; a deleted one is made anew.

        So is one that holds the scores of somebody else: of a copy of this fold that took it over.
        """
        from mlflow.entities import RunTag

        if self.run.parent is not None:
            _known_run(self.run.parent)  # before there is a run that is below none
        if self.run.run_id is not None:
            found = active_run(client, self.run.run_id)
            known = (self.run.scores, self._scores())
            if found is None or not is_of_fold(found, self.run.tags) or not holds_only(found, known):
                self._forget()
        if self.run.run_id is None:
            self._find_or_make(client, records)
        if self._is_open or (self._follows and not self._is_live):
            return
        tags = {**self._tags(), **self._parent_tag(client, records[0].time_ms)}
        client.log_batch(self.run.run_id, tags=[RunTag(*tag) for tag in tags.items()], synchronous=True)
        if self._is_live:
            client.update_run(self.run.run_id, status="RUNNING")
            self.run.is_closed = False
        self.run.save(self._folder)
        self._is_open = True

    def _find_or_make(self, client: "MlflowClient", records: Sequence[Record]) -> None:
        experiment_id = get_or_create_experiment(client, self.run.experiment_name, self._destination)
        self.run.run_id = run_of_attempt(
            client,
            experiment_id,
            self._tags(),
            records,
            self.run.run_name,
            scores=self._scores(),
            is_copy=self._is_copy,
        )
        self.run.experiment_id = experiment_id
        self._is_open = False

    def _parent_tag(self, client: "MlflowClient", start_ms: int) -> dict[str, str]:
        """Returns the tag by which MLflow shows the run below that of its cross-validation."""
        if self.run.experiment_id is None:
            return {}
        if self.run.parent is not None:
            return {PARENT: _known_run(self.run.parent)}
        parent = parent_of_fold(client, self.run.experiment_id, self.run.tags, start_ms)
        return {PARENT: parent} if parent else {}

    def _tags(self) -> dict[str, str]:
        tags = {**self.run.tags, names.ATTEMPT: str(self.run.attempt).replace("'", "")}
        if self.run.resumed_at:
            tags[names.RESUMED_AT] = ", ".join(str(epoch) for epoch in self.run.resumed_at)
        if mixed := mixed_in_words(mixed_versions(read_stages(self._folder))):
            tags[names.MIXED_VERSIONS] = mixed
        if self._pseudonyms and names.HOST in tags:
            tags[names.HOST] = self._pseudonyms.of("host", tags[names.HOST])
        return {key: names.cut(redacted(value), names.MAX_TAG_LENGTH) for key, value in tags.items()}

    def _send_samples(self, client: "MlflowClient", until: float) -> None:
        for group in groups(list(read_records(system_path(self._folder), self.run.n_samples_sent))):
            _check_time(until)
            self._writer.write(client, self.run, group, self._last_epoch)
            self.run.n_samples_sent += len(group)
            self.run.save(self._folder)

    def _send_watched(self, client: "MlflowClient", n_saved: int | None, until: float) -> None:
        def write(group: Sequence[Record]) -> None:
            _check_time(until)
            self._writer.write(client, self.run, group, self._last_epoch)

        send_batches(self.run, self._folder, n_saved, write)
        if self._destination.takes_files:
            add_panels(self.run, self._folder, n_saved)

    def _upload_files(self, client: "MlflowClient", until: float) -> None:
        """Uploads what waits, after the run's end: a file that fails must not leave the run open."""
        for file in list(self.run.files):
            # While the fold trains, an artifact store that fails must not delay every epoch.
            if self.run.ending is None and file in self._writer.kept_files:
                continue
            _check_time(until)
            if self._writer.upload(client, self.run, file):
                self.run.files.remove(file)
                self.run.save(self._folder)


def _known_run(folder: str) -> str:
    """Returns the id of the run of another folder; raises where MLflow has not given it one so far."""
    known = FoldRun.load(Path(folder))
    if known is None or known.run_id is None:
        raise _TooEarlyError(f"The run that this one is nested in, in {folder}, is not in MLflow so far.")
    return known.run_id


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _check_time(until: float) -> None:
    if time.monotonic() >= until:
        raise _OutOfTimeError
