"""What is known on disk about a fold's MLflow run: which run it is and which journal records it holds.

In `fold_k/.nnunet_assets/mlflow_run.json`, written whole after every batch. `sent` lists the time stamps of the records
that MLflow has, in the journal's order: where journal and list part, the journal was cut back to an earlier epoch. A
lost file is made anew: the run is found by its attempt, and a record that comes twice is kept once.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from errno import EAGAIN
from itertools import takewhile
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import JsonError, readable_json, write_json_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import MLFLOW_RUN_FILE, OWN_FOLDER
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.core.fold.commit import Manifest
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import LockingError
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.names import Status


@dataclass(frozen=True)
class Ending:
    """How a training ended.

    Attributes:
        status: MLflow's word.
        time_ms: When, in milliseconds since 1970-01-01 UTC.
        files: What is to be uploaded, relative to the fold's folder.
        metrics: What only the end knows, by MLflow's name, such as `training_hours`.
        failure: The class of what ended it, such as `out_of_memory`; `none` where it was finished.
    """

    status: Status
    time_ms: int
    files: list[str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: str = "none"


@dataclass
class FoldRun:
    """The run of one attempt at one tracking URI.

    Attributes:
        tracking_uri: Without passwords.
        experiment_name: MLflow's experiment.
        run_name: The run's name for people.
        tags: What identifies the fold.
        attempt: The training that the journal tells of; None before its first record.
        run_id: None until MLflow has given one.
        experiment_id: As `run_id`.
        sent: Time stamps of the records that MLflow has.
        n_refused: How many of these MLflow would not take.
        n_samples_sent: How many samples of the machine MLflow has.
        n_batches_sent: How many epochs MLflow has the iterations of, where these are watched.
        panels_until: The epoch below which pictures of validation slices are, or wait, among the files.
        resumed_at: Epochs from which on MLflow got second values.
        ending: None while the fold trains, and where its process died without a word.
        is_closed: MLflow knows the ending.
        files: What is still to be uploaded, relative to the fold's folder.
        scores: Digest of the scores that MLflow was told of; None: of none, or by version 0.1.
        folder: Where the fold lay then, to tell a fold that was moved from a copy of it.
        made_of: Digest of the scores that the files were made of, of an adopted fold; None: not known.
        parent: Folder of the run that it is nested in, of a run of a script's own; None: it is in none.
        keeps_names: Whether series have the names of a script's own, and not those of the journal of a fold.
        share_files: Of a script's run what its script said of files (`Destination`); None: as the project has it.
        sends_files: As `share_files`.
    """

    tracking_uri: str
    experiment_name: str
    run_name: str
    tags: Mapping[str, str]
    attempt: str | None = None
    run_id: str | None = None
    experiment_id: str | None = None
    sent: list[int] = field(default_factory=list)
    n_refused: int = 0
    n_samples_sent: int = 0
    n_batches_sent: int = 0
    panels_until: int = 0
    resumed_at: list[int] = field(default_factory=list)
    ending: Ending | None = None
    is_closed: bool = False
    files: list[str] = field(default_factory=list)
    scores: str | None = None
    folder: str | None = None
    made_of: str | None = None
    parent: str | None = None
    keeps_names: bool = False
    share_files: bool | None = None
    sends_files: bool | None = None

    @classmethod
    def load(cls, fold_folder: Path) -> "FoldRun | None":
        """Returns what is on disk; None where there is nothing, or nothing that can be read."""
        known = {item.name for item in fields(cls)}
        content = {key: value for key, value in readable_json(_path(fold_folder)).items() if key in known}
        try:
            return dataclass_from_json(cls, json.dumps(content))
        except JsonError:
            return None

    def save(self, fold_folder: Path) -> None:
        """Writes it to the disk."""
        write_json_atomically(_path(fold_folder), asdict(self))

    def for_attempt(self, attempt: str) -> "FoldRun":
        """Returns this run, or an empty one where it belongs to another training of the fold."""
        if attempt == self.attempt:
            return self
        return FoldRun(
            self.tracking_uri,
            self.experiment_name,
            self.run_name,
            self.tags,
            attempt=attempt,
            parent=self.parent,
            keeps_names=self.keeps_names,
            share_files=self.share_files,
            sends_files=self.sends_files,
        )

    def as_continued(self, known: "FoldRun") -> "FoldRun":
        """Returns this, which is to be sent, as the continuation of what is known of the same attempt."""
        if known.tracking_uri != self.tracking_uri:
            return self
        counted = ("sent", "n_refused", "n_samples_sent", "n_batches_sent", "panels_until")
        kept = ("run_id", "experiment_id", *counted, "resumed_at", "scores", "folder")
        return replace(self, **{name: getattr(known, name) for name in kept})

    def add_files(self, files: Sequence[str]) -> None:
        """Adds what is to be uploaded, each file once."""
        self.files = list(dict.fromkeys([*self.files, *files]))

    def forget(self) -> None:
        """Drops what was deleted in MLflow, so that a new run takes every record again.

        Which files go along is for the destination to say.
        """
        self.run_id = self.experiment_id = self.scores = None
        self.sent, self.resumed_at, self.files = [], [], []
        self.n_refused, self.n_samples_sent, self.is_closed = 0, 0, False
        self.n_batches_sent = self.panels_until = 0

    def is_of_original(self, fold_folder: Path) -> bool:
        """Says whether this was copied along with the fold, and is what is known of the original, which is still there.

        Of a fold that was moved nothing is left where it lay. A folder that may not be looked into is taken for the
        original: nobody replaces what may be another user's.
        """
        if self.folder is None:
            return False
        try:
            if not Path(self.folder).is_dir() or Path(self.folder).samefile(fold_folder):
                return False
            first = next(read_records(journal_path(Path(self.folder))), None)
        except PermissionError:
            return True
        return first is not None and attempt_of(first) == self.attempt

    def has_scores_to_tell(self, scores: str | None, records: Sequence[Record]) -> bool:
        """Says whether the fold was validated again since MLflow was told of its end, so that it has to be told again.

        Args:
            scores: The digest of the scores that it has now; None: it is not finished now.
            records: The fold's journal.
        """
        if scores is None or not self.is_closed or self.ending is None or self.ending.status != "FINISHED":
            return False
        is_other = self.scores not in (None, scores)
        return is_other or any(record.kind == "end" for record in records[self._n_common(records) :])

    def cut_back(self, records: Sequence[Record]) -> bool:
        """Drops what the journal no longer holds from what was sent, and notes the epoch to which it was cut.

        MLflow deletes no values: from that epoch on it gets second ones.

        Returns:
            Whether anything was dropped.
        """
        n_common = self._n_common(records)
        if n_common == len(self.sent):
            return False
        self.sent = self.sent[:n_common]
        epochs = [record.epoch for record in records[:n_common] if record.epoch is not None]
        self.resumed_at = [*self.resumed_at, epochs[-1] + 1 if epochs else 0]
        return True

    def _n_common(self, records: Sequence[Record]) -> int:
        """Returns how many of the journal's records were sent, up to where journal and what was sent part."""
        pairs = zip((record.time_ms for record in records), self.sent, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def ending_metrics(records: Iterable[Record], manifest: Manifest | None) -> dict[str, float]:
    """Returns what only a fold's end knows: how long it took, on what, and where its curve was best, by MLflow's name.

    What is not known is absent.

    Args:
        records: The fold's journal.
        manifest: Of the finished fold; None: it is not finished.
    """
    epochs = {record.epoch: record.values for record in records if record.kind == "epoch" and record.epoch is not None}
    training_seconds = sum(values.get(names.EPOCH_SECONDS) or 0.0 for values in epochs.values())
    metrics = {
        names.EPOCHS_TRAINED: float(len(epochs)),
        names.TRAINING_SECONDS: training_seconds,
        names.TRAINING_HOURS: training_seconds / 3600,
    }
    losses = [loss for values in epochs.values() if (loss := values.get(names.VAL_LOSS)) is not None]
    if losses:
        metrics[names.BEST_VAL_LOSS] = min(losses)
    emas = [(values.get(names.PSEUDO_DICE_EMA), epoch) for epoch, values in epochs.items()]
    defined = [(ema, -epoch) for ema, epoch in emas if ema is not None]
    if defined:
        # The first of equal ones, as nnU-Net keeps the first checkpoint.
        best, epoch = max(defined)
        metrics |= {names.BEST_EPOCH: float(-epoch), names.BEST_PSEUDO_DICE_EMA: best}
    return {**metrics, **_measured(manifest)} if manifest else metrics


def _measured(manifest: Manifest) -> dict[str, float]:
    metrics = {names.peak_memory_metric(kind): float(n) for kind, n in manifest.peak_memory_bytes.items()}
    if "validation" in manifest.seconds:
        metrics[names.VALIDATION_SECONDS] = manifest.seconds["validation"]
    if manifest.gpu_hours is not None:
        metrics[names.GPU_HOURS] = manifest.gpu_hours
    return metrics


def params_path(fold_folder: Path) -> Path:
    """Returns where the whole parameters lie until they are uploaded."""
    return fold_folder / OWN_FOLDER / "params.json"


def contents_path(fold_folder: Path, name: str) -> Path:
    """Returns where a file lies that was made to be uploaded."""
    return uploads_folder(fold_folder) / Path(name).name


def uploads_folder(fold_folder: Path) -> Path:
    """Returns where files lie that were made to be uploaded; a folder in it becomes one of the run's artifacts."""
    return fold_folder / OWN_FOLDER / "uploads"


@contextmanager
def alone(fold_folder: Path) -> Iterator[None]:
    """Keeps other processes from sending the same fold's records meanwhile.

    On a file system without locks nothing does: then a record may come twice, which MLflow keeps once.

    Raises:
        BlockingIOError: Another process is sending.
    """
    from filelock import Timeout

    lock = kernel_lock(fold_folder / OWN_FOLDER / "mlflow_run.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(EAGAIN, "another process is sending this fold's records", lock.lock_file) from None
    except LockingError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def attempt_of(first: Record) -> str:
    """Returns what names a training in its journal: the start record's `attempt`, else the time of its first record."""
    given: Any = first.values.get("attempt")
    return str(given) if given else str(first.time_ms)


def is_same_place(run: FoldRun, tracking_uri: str) -> bool:
    """Tells whether the run lies at this tracking URI."""
    return run.tracking_uri == redacted(tracking_uri)


def _path(fold_folder: Path) -> Path:
    return fold_folder / OWN_FOLDER / MLFLOW_RUN_FILE
