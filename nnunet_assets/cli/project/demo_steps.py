"""The steps of the demo as a person follows them: bars on a terminal, lines in a log."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import Count, Progress, Silent
from nnunet_assets.core.training.trained_epoch import TrainedEpoch, duration
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.nnunet.folds.fold_watch import EpochLines, ValidationSteps
from nnunet_assets.settings import Settings

POLL_SECONDS = 0.5


class Face(Progress, Protocol):
    """Shows the steps, and hears how far the fold is that trains."""

    def begin(self, name: str) -> None:
        """Shows that a step begins."""

    def end(self, result: str) -> None:
        """Shows that it is done, and what came out."""


class BarFace(Silent):
    """Shows a bar a step."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID = TaskID(0)
        self._count = Count()

    def begin(self, name: str) -> None:
        """Adds a bar."""
        self._task = self._bars.add_task(name, total=None, note="")

    def end(self, result: str) -> None:
        """Fills it."""
        self._bars.update(self._task, total=1, completed=1, note=result)
        self._bars.stop_task(self._task)

    def epoch(self, trained: TrainedEpoch) -> None:
        """Moves it."""
        left = trained.seconds_left
        self._show(trained.n_done, trained.n_epochs or 0, f"{trained.n_done} of {trained.n_epochs} epochs", left)

    def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
        """Moves it."""
        self._count.take(what, n_done, n, share)
        self._show(n_done, n, f"{n_done} of {n} validated", self._count.seconds_left)

    def _show(self, n_done: int, n: int, note: str, left: float | None) -> None:
        rest = "" if left is None else f", {duration(left)} left"
        self._bars.update(self._task, total=n, completed=n_done, note=note + rest)


class LineFace(TerminalProgress):
    """Writes lines: a step's first and last, and a few between."""

    def __init__(self) -> None:
        super().__init__()
        self._name, self._begun = "", 0.0

    def begin(self, name: str) -> None:
        """Writes that it begins."""
        self._name, self._begun = name, time.monotonic()
        self.say("begins.")

    def end(self, result: str) -> None:
        """Writes how long it took, and what came out."""
        self.say(f"done after {duration(time.monotonic() - self._begun)}{f', {result}' if result else ''}.")

    def say(self, sentence: str) -> None:
        """Writes it with the name of the step."""
        super().say(f"{self._name}: {sentence}")


class Steps:
    """The steps one after another; a fold is followed by what its process writes."""

    def __init__(self, face: Face, settings: Settings, config: ExperimentConfig) -> None:
        self.ended = threading.Event()
        self._face, self._settings, self._config = face, settings, config
        self._name: str | None = None
        self._looking = threading.Lock()
        self._watched: tuple[EpochLines, ValidationSteps] | None = None

    def __call__(self, name: str) -> None:
        """Ends the step before, and begins another."""
        self.finish()
        self._name = name
        self._face.begin(name)
        if name.startswith("fold_"):
            folder = self._config.identity.fold_folder(self._settings.roots, name)
            self._watched = EpochLines(folder, self._face), ValidationSteps(folder, self._face)

    def finish(self) -> None:
        """Ends the step that is going on, if one is."""
        if self._name is None:
            return
        with self._looking:
            self._look()
            self._watched = None
        self._face.end(self._result(self._name))
        self._name = None

    def watch(self) -> None:
        """Follows the folds until `ended` is set."""
        while not self.ended.wait(POLL_SECONDS):
            with self._looking:
                self._look()

    def _look(self) -> None:
        if self._watched:
            epochs, validation = self._watched
            epochs.show_new()
            validation.look()

    def _result(self, name: str) -> str:
        folder = self._config.identity.fold_folder(self._settings.roots, name)
        if not name.startswith("fold_") or read_committed(folder) is None:
            return ""
        ends = [record.values for record in read_records(journal_path(folder)) if record.kind == "end"]
        return f"Dice {ends[-1]['val_dice_mean']:.3f}" if ends and ends[-1]["val_dice_mean"] is not None else ""


@contextmanager
def shown_steps(console: Console, settings: Settings, config: ExperimentConfig) -> Iterator[Steps]:
    """Yields what is called with the name of each step as it begins."""
    columns = (
        TextColumn("{task.description:18}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        steps = Steps(BarFace(bars) if console.is_terminal else LineFace(), settings, config)
        watcher = threading.Thread(target=steps.watch, daemon=True)
        watcher.start()
        try:
            yield steps
            steps.finish()
        finally:
            steps.ended.set()
            watcher.join()
