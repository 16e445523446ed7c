"""A tracker for scripts, trainers and assets of one's own: MLflow runs that never block nor break what they are about.

What is logged lies on this disk at once (see `spool`), and a thread sends it. A server that is down, slow or silent
costs nothing but delay; what it has not taken when the script ends is sent by `nnunet-assets sync`. No method raises:
what goes wrong is a warning in Python's logging, and is in `problems`.
"""

import atexit
import logging
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self

from nnunet_assets.errors import first_offenders
from nnunet_assets.tracking.fold.fold_tracker import INTERRUPTED_FLUSH_SECONDS
from nnunet_assets.tracking.own_runs.given import config_of, numbers_of, step_of, tags_of
from nnunet_assets.tracking.own_runs.saved_models import save_model
from nnunet_assets.tracking.own_runs.spool import FOLDER, RunTracker, Spool, remove_sent
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import MAX_NAME_LENGTH, cut

END_SECONDS = 10.0
"""How long the end of a run waits for a server; the rest is left on the disk."""
BACKGROUND_SECONDS = 3600.0
"""How long a thread goes on with a run that was ended, while the script goes on too."""

Status = Literal["FINISHED", "FAILED", "KILLED"]
_FAILURES: Mapping[Status, str] = {"FINISHED": "none", "FAILED": "crashed", "KILLED": "interrupted"}
_Arguments = ParamSpec("_Arguments")
_logger = logging.getLogger(__name__)


@dataclass
class _OpenRun:
    """A run that is begun and not ended."""

    spool: Spool
    sender: RunTracker


def _never_raises(
    method: "Callable[Concatenate[Tracker, _Arguments], None]",
) -> "Callable[Concatenate[Tracker, _Arguments], None]":
    @wraps(method)
    def safe(self: "Tracker", /, *arguments: _Arguments.args, **named: _Arguments.kwargs) -> None:
        if not self.enabled:
            return
        try:
            with self._lock:
                method(self, *arguments, **named)
        except Exception as error:  # noqa: BLE001 (tracking must never end a script; it is counted and told)
            self._note(f"{method.__name__} did not work ({type(error).__name__}): {error}")

    return safe


class Tracker:
    """Logs to MLflow from a script, a trainer or an asset of one's own.

    What is logged goes to the innermost run that is open; where none is, one is begun. Used as a context manager it
    ends every open run: FINISHED, FAILED by an exception or an exit with a code, KILLED by an interruption. So does the
    end of the process.

    Args:
        destination: Where runs go.
        data: The project's data folder, in which the spool lies.
        experiment: The MLflow experiment.
        run_name: Of the run that is not nested; None: MLflow's choice.
        tags: Of every run.

    Attributes:
        enabled: Whether anything is tracked.
        problems: What went wrong, a sentence each.
    """

    def __init__(
        self,
        destination: Destination,
        data: Path,
        experiment: str,
        run_name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.enabled = destination.is_on
        self.problems: list[str] = []
        self._destination, self._root, self._experiment = destination, data / FOLDER, experiment
        self._run_name, self._tags = run_name, dict(tags or {})
        self._open: list[_OpenRun] = []
        self._ended: list[_OpenRun] = []
        self._lock = threading.RLock()
        self._url: str | None = None
        self._run_id: str | None = None
        self._process = os.getpid()
        if self.enabled:
            atexit.register(self._end_at_exit)

    def __enter__(self) -> Self:
        """Returns it; a run begins when one is asked for."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends every run that is open."""
        self._end_all(_status_of(error))

    def start_run(
        self, run_name: str | None = None, *, nested: bool = False, tags: Mapping[str, str] | None = None
    ) -> "_Until":
        """Begins a run, which `with` ends; one that is open already is ended, unless the new one is nested in it.

        Args:
            run_name: None: that of the tracker; of a nested one MLflow's choice.
            nested: Whether MLflow shows it below the innermost one that is open.
            tags: Beside those of the tracker.
        """
        depth = len(self._open)
        self._start(run_name, nested=nested, tags=tags)
        return _Until(self, depth if nested and self.enabled else 0)

    @_never_raises
    def _start(self, run_name: str | None, *, nested: bool, tags: Mapping[str, str] | None) -> None:
        if not nested:
            self._end_down_to(0, "FINISHED")
        attempt = uuid.uuid4().hex
        folder = self._root / f"{time.time_ns():020d}-{attempt[:8]}"
        spool = Spool(folder, attempt)
        name = run_name or ("" if nested else self._run_name) or f"run {attempt[:8]}"
        sender = RunTracker(
            self._destination,
            experiment_name=self._destination.experiment_of(self._experiment),
            folder=folder,
            tags={},
            run_name=cut(name, MAX_NAME_LENGTH),
            parent=self._open[-1].spool.folder if nested and self._open else None,
        )
        spool.begin(tags_of({**self._tags, **(tags or {})}))
        sender.__enter__()
        self._open.append(_OpenRun(spool, sender))

    @_never_raises
    def log_config(self, config: Mapping[str, Any]) -> None:
        """Logs parameters; nested ones are flattened: `{"model": {"depth": 5}}` is `model/depth`.

        A value that is given again is noted in a tag: MLflow keeps the first one of a parameter.
        """
        self._innermost().spool.add_params(config_of(config))

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Logs a value; `nan` and infinity are values too."""
        self.log_metrics({name: value}, step)

    @_never_raises
    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Logs values of one step; one that is no number costs only itself."""
        numbers, reasons = numbers_of(metrics)
        if numbers:
            self._innermost().spool.add_metrics(numbers, step_of(step))
        if reasons:
            self._note(f"Not logged: {first_offenders(reasons)}.")

    @_never_raises
    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Gives the run tags."""
        self._innermost().spool.add_tags(tags_of(tags))

    @_never_raises
    def log_artifact(self, file: Path | str, artifact_path: str | None = None) -> None:
        """Copies a file, or a folder, as it is now, to be uploaded under its own name.

        Args:
            file: Which one.
            artifact_path: Folder among the run's artifacts; None: at their top.
        """
        spool, source = self._innermost().spool, Path(file)
        if not source.exists():
            raise FileNotFoundError(f"{source} is not there.")
        places = []
        for one in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if one.is_file():
                below = one.relative_to(source.parent).parent.as_posix()
                places.append(spool.place_for(one.name, f"{artifact_path or '.'}/{below}"))
                shutil.copyfile(one, places[-1])
        if places:
            spool.add_files(*places)

    @_never_raises
    def log_figure(self, figure: Any, artifact_file: str) -> None:
        """Draws a figure of Matplotlib, of Plotly or a picture of PIL as it is now, to be uploaded.

        Args:
            figure: Which one.
            artifact_file: Its name among the run's artifacts, with an ending that says the form: `plots/loss.png`.
        """
        spool, named = self._innermost().spool, Path(artifact_file)
        place = spool.place_for(named.name, named.parent.as_posix())
        if hasattr(figure, "savefig"):
            figure.savefig(place)
        elif named.suffix in (".html", ".htm") and hasattr(figure, "write_html"):
            figure.write_html(str(place))
        elif hasattr(figure, "write_image"):
            figure.write_image(str(place))
        else:
            figure.save(place)
        spool.add_files(place)

    @_never_raises
    def log_model(self, model: Any, name: str = "model", *, registered_model_name: str | None = None) -> None:
        """Saves a model as it is now, to be uploaded as a folder that MLflow loads, and to be registered.

        Args:
            model: A module of torch, a `PythonModel` of MLflow, or the folder of a model that MLflow saved.
            name: Of the folder among the run's artifacts.
            registered_model_name: Under which it becomes the next version; None: it is not registered.
        """
        spool = self._innermost().spool
        place = spool.place_for(name)
        save_model(model, place, registered_model_name)
        spool.add_files(place)

    def end_run(self, status: Status = "FINISHED", *, timeout_seconds: float = END_SECONDS) -> None:
        """Ends the innermost run that is open, and sends what waits; a nested one in the background.

        Args:
            status: What MLflow shows.
            timeout_seconds: How long to wait for a server; what it has not taken by then is left to `sync`.
        """
        if status not in _FAILURES:
            self._note(f"end_run did nothing: {status!r} is no status; they are {', '.join(_FAILURES)}.")
            return
        self._end_down_to(max(0, len(self._open) - 1), status, timeout_seconds)

    @property
    def run_id(self) -> str | None:
        """Of the innermost run that is open, else of the last one; None: MLflow has not given one so far."""
        return self._open[-1].sender.run_id if self._open else self._run_id

    def get_run_url(self, timeout_seconds: float = END_SECONDS) -> str | None:
        """Returns the link to the page of the innermost run that is open, else of the last one.

        Args:
            timeout_seconds: How long to wait until MLflow has the run.

        Returns:
            None where it has not by then, or where no server shows it.
        """
        until = time.monotonic() + timeout_seconds
        while self._open and self.enabled:
            sender = self._open[-1].sender
            if sender.run_id and sender.experiment_id:
                return self._destination.run_url(sender.experiment_id, sender.run_id)
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)
        return self._url

    def _innermost(self) -> _OpenRun:
        if not self._open:
            self._start(None, nested=False, tags=None)
        if not self._open:
            raise RuntimeError("No run could be begun.")
        return self._open[-1]

    @_never_raises
    def _end_down_to(self, depth: int, status: Status, timeout_seconds: float = END_SECONDS) -> None:
        while len(self._open) > depth:
            run = self._open.pop()
            # Of a search with a hundred trials, none waits for a server that is down.
            run.sender.begin_end(status, failure=_FAILURES[status], timeout_seconds=BACKGROUND_SECONDS)
            self._ended.append(run)
        if depth == 0:
            self._collect(time.monotonic() + timeout_seconds)

    def _collect(self, until: float) -> None:
        """Waits for what was ended, the outermost first, which the others need."""
        for index, run in enumerate(reversed(self._ended)):
            # Negative once the time is over: however many there are, they are waited for together.
            report = run.sender.finish("FINISHED", timeout_seconds=until - time.monotonic())
            run.spool.release()
            if index == 0:
                self._run_id, self._url = report.run_id, None
                if report.run_id and report.experiment_id:
                    self._url = self._destination.run_url(report.experiment_id, report.run_id)
            if report.problem:
                self._note(report.problem + ("" if report.is_done else " `nnunet-assets sync` sends what waits."))
        # Those that are nested first: while they wait, they need the others.
        for run in [run for run in self._ended if run.sender.is_done]:
            remove_sent(run.spool.folder, self._destination)
        self._ended.clear()

    def _end_all(self, status: Status) -> None:
        seconds = INTERRUPTED_FLUSH_SECONDS if status == "KILLED" else END_SECONDS
        self._end_down_to(0, status, seconds)

    def _end_at_exit(self) -> None:
        if os.getpid() != self._process:  # one that was forked: the run goes on where it was begun
            return
        # What Python keeps of an exception that nobody caught.
        self._end_all(_status_of(getattr(sys, "last_value", None)))

    def _note(self, sentence: str) -> None:
        if sentence not in self.problems:
            self.problems.append(sentence)
            _logger.warning("%s", sentence)

    def __repr__(self) -> str:
        """Says where it logs to, and what is open."""
        names = [run.spool.folder.name for run in self._open]
        return f"Tracker({self._experiment!r}, open: {first_offenders(names) or 'none'})"


class _Until:
    """Ends what was begun since, as `with` does."""

    def __init__(self, tracker: Tracker, depth: int) -> None:
        self._tracker, self._depth = tracker, depth

    def __enter__(self) -> Tracker:
        return self._tracker

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tracker._end_down_to(self._depth, _status_of(error))


def _status_of(error: BaseException | None) -> Status:
    if error is None:
        return "FINISHED"
    if isinstance(error, SystemExit):  # by which many a script ends that went well
        return "FAILED" if error.code else "FINISHED"
    return "FAILED" if isinstance(error, Exception) else "KILLED"
