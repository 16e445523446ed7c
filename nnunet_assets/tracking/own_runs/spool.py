"""The spool of a run of a script's own: what it logs lies on this disk first, and a thread sends it from there.

On disk: `data/tracked_runs/ID/`, laid out as the folder of a fold is, so that the same sender carries it: the journal,
`mlflow_run.json`, and in `.nnunet_assets/uploads` copies of what is to be uploaded. It goes when MLflow has everything.
A lock is held while the script lives: a run whose script was killed is known by it, and ended as KILLED.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.fold.journal import Record, append_record, journal_path, read_records
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import LockingError
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun, uploads_folder
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker
from nnunet_assets.tracking.store.destination import Destination

FOLDER = "tracked_runs"


class RunTracker(FoldTracker):
    """Follows the journal of a script's run. Nothing about epochs is computed: their names are the script's."""

    def __init__(
        self,
        destination: Destination,
        *,
        experiment_name: str,
        folder: Path,
        tags: Mapping[str, str],
        run_name: str,
        parent: Path | None,
    ) -> None:
        super().__init__(destination, experiment_name=experiment_name, fold_folder=folder, tags=tags, run_name=run_name)
        self._sender.run = replace(
            self._sender.run,
            parent=str(parent) if parent else None,
            keeps_names=True,
            share_files=destination.share_files,
            sends_files=destination.sends_files,
        )

    @property
    def run_id(self) -> str | None:
        """MLflow's; None: it has not given one so far."""
        return self._sender.run.run_id

    @property
    def experiment_id(self) -> str | None:
        """As `run_id`."""
        return self._sender.run.experiment_id

    @property
    def is_done(self) -> bool:
        """Whether MLflow has the whole run, its end and its files."""
        return self._report is not None and self._report.is_done

    def _ending_metrics(self, records: Sequence[Record], finished: FinishedFold | None) -> dict[str, float]:
        return {}


class Spool:
    """What one run has on this disk.

    Args:
        folder: Its own.
        attempt: Names the run.
    """

    def __init__(self, folder: Path, attempt: str) -> None:
        self.folder = folder
        self._attempt = attempt
        self._params: dict[str, Any] = {}
        (folder / OWN_FOLDER).mkdir(parents=True)
        self._lock = _lock_of(folder)

    def begin(self, tags: Mapping[str, str]) -> None:
        """Writes the first record, with the run's tags; whoever follows the journal has to look already.

        Raises:
            OSError: The disk refuses it.
        """
        self._hold()
        self._start({"tags": dict(tags)})

    def add_params(self, params: Mapping[str, Any]) -> None:
        """Adds parameters, nested as they are; one that is there already is replaced, and MLflow notes both.

        Raises:
            OSError: The disk refuses it.
        """
        self._params = _merged(self._params, params)
        self._start({})

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Adds tags.

        Raises:
            OSError: The disk refuses it.
        """
        self._start({"tags": dict(tags)})

    def add_metrics(self, metrics: Mapping[str, float | str], step: int) -> None:
        """Adds values at a step.

        They are the operating system's at once, and outlive the script; only a machine that loses its power may lose
        the last of them. To wait for the disk would cost a script a millisecond a value, and seconds on some drives.

        Raises:
            OSError: The disk refuses it.
        """
        append_record(journal_path(self.folder), "epoch", metrics, step, flushes=False)

    def place_for(self, name: str, artifact_path: str | None = None) -> Path:
        """Returns where a file is to be put that is to be uploaded; its folder is there.

        Raises:
            ValueError: It would be elsewhere.
        """
        place = uploads_folder(self.folder).joinpath(*Path(artifact_path or "").parts, name)
        if not place.resolve().is_relative_to(uploads_folder(self.folder).resolve()):
            raise ValueError(f"{artifact_path}/{name} is no place among the artifacts of a run.")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def add_files(self, *places: Path) -> None:
        """Has what lies at places from `place_for` uploaded.

        Raises:
            OSError: The disk refuses it.
        """
        self._start({"files": [str(place.relative_to(self.folder)) for place in places]})

    def release(self) -> None:
        """Says that the script is done with it."""
        self._lock.release()

    def _hold(self) -> None:
        try:
            self._lock.acquire()
        except LockingError:  # a disk without locks: then nobody can tell that the script was killed
            return

    def _start(self, more: Mapping[str, Any]) -> None:
        append_record(journal_path(self.folder), "start", {"attempt": self._attempt, "params": self._params, **more})


def own_run_folders(data: Path) -> Iterator[Path]:
    """Yields the folders of the runs on the spool of a project, those that others are nested in first."""
    folders = [folder for folder in sorted((data / FOLDER).glob("*")) if journal_path(folder).is_file()]
    yield from sorted(folders, key=lambda folder: (_depth(folder), folder.name))


def end_killed(folder: Path) -> None:
    """Notes the end of a run whose script is gone without a word; one that a script still holds is left alone."""
    known = FoldRun.load(folder)
    if known is None or known.ending is not None:
        return
    lock = _lock_of(folder)
    try:
        lock.acquire()
    except (LockingError, TimeoutError):
        return
    try:
        last_ms = max((record.time_ms for record in read_records(journal_path(folder))), default=0)
        replace(known, ending=Ending("KILLED", last_ms, [], failure="interrupted")).save(folder)
    finally:
        lock.release()


def own_destination(folder: Path, destination: Destination) -> Destination:
    """Returns where the run of a folder goes: a script may have named another server, and said what of files."""
    known = FoldRun.load(folder)
    if known is None:
        return destination
    there = replace(
        destination,
        share_files=destination.share_files if known.share_files is None else known.share_files,
        sends_files=destination.sends_files if known.sends_files is None else known.sends_files,
    )
    if known.tracking_uri == redacted(destination.tracking_uri):
        return there
    return replace(there, tracking_uri=known.tracking_uri, ui=None)


def remove_sent(folder: Path, destination: Destination) -> None:
    """Removes the folder of a run that MLflow has whole.

    It stays where a run that is nested in it still needs it, and where it has files that do not go to the destination.
    """
    if not destination.takes_files and uploads_folder(folder).exists():
        return
    needed = [FoldRun.load(other) for other in sorted(folder.parent.glob("*")) if other != folder]
    if not any(run is not None and run.parent == str(folder) for run in needed):
        shutil.rmtree(folder, ignore_errors=True)


def _depth(folder: Path) -> int:
    known = FoldRun.load(folder)
    return 0 if known is None or known.parent is None else 1 + _depth(Path(known.parent))


def _lock_of(folder: Path) -> Any:
    return kernel_lock(folder / OWN_FOLDER / "script.lock", timeout=0)


def _merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(left)
    for key, value in right.items():
        there = merged.get(key)
        merged[key] = _merged(there, value) if isinstance(there, Mapping) and isinstance(value, Mapping) else value
    return merged
