"""How far the folds of a backfill are: one live table on a terminal, a line where something changes elsewhere."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import click

from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import COMMIT_FILE, read_committed
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.fold.validation_work import trained_epoch
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.core.training.trained_epoch import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

    from nnunet_assets.assets.fold.fold_backfill import FoldBackfills, FoldRun, Ongoing

RETRY_SECONDS = 60
"""How long Dagster may take to start a killed run once more, which it has said it will."""

BLOCKS = 10
"""Where nobody looks on, a training is so many lines."""

Outcome = Literal["finished", "failed", "canceled"]


@dataclass(frozen=True)
class FoldLine:
    """How far one fold is.

    Attributes:
        fold: `fold_0` ...
        state: In words; a failure with its reason.
        outcome: How it ended; None: it did not.
        n_done: Epochs that are trained.
        n_epochs: Of the whole training; None: not known yet.
        seconds_left: With the validation where that is known; None: not known.
        dice: Of the validation cases; None: not known.
    """

    fold: str
    state: str
    outcome: Outcome | None = None
    n_done: int = 0
    n_epochs: int | None = None
    seconds_left: float | None = None
    dice: float | None = None

    @property
    def epochs(self) -> str:
        """Returns `12 of 1000`; empty where none is trained."""
        return f"{self.n_done} of {self.n_epochs}" if self.n_done and self.n_epochs else ""

    @property
    def left(self) -> str:
        """Returns hours, minutes and seconds; empty where nobody knows."""
        return "" if self.seconds_left is None else duration(self.seconds_left)

    @property
    def block(self) -> int:
        """Returns which tenth of its epochs is trained."""
        return BLOCKS * self.n_done // self.n_epochs if self.n_epochs else 0

    def __str__(self) -> str:
        """Returns it as a line of a log."""
        epochs = f", epoch {self.epochs}" if self.epochs and self.outcome is None else ""
        left = f", about {self.left} left" if self.left else ""
        dice = f", Dice {fixed(self.dice, 3)}" if self.dice is not None else ""
        return f"{self.fold}: {self.state}{epochs}{left}{dice}"


class FoldLines:
    """Looks how far the folds of an experiment are, by Dagster's runs and by what the folds' processes write.

    Args:
        roots: Of the project.
        experiment: Whose folds.
        backfills: Of the same.
    """

    def __init__(self, roots: Roots, experiment: Experiment, backfills: "FoldBackfills") -> None:
        self._roots, self._experiment, self._backfills = roots, experiment, backfills

    def look(self, asked: "Mapping[str, Ongoing]") -> list[FoldLine]:
        """Returns how far they are, each since it was asked for."""
        return [self._look(fold, ongoing) for fold, ongoing in asked.items()]

    def _look(self, fold: str, asked: "Ongoing") -> FoldLine:
        run = self._backfills.run_of(fold, asked)
        match run.state:
            case "requested":
                return self._without_run(fold, asked)
            case "queued":
                return FoldLine(fold, f"waits in the queue{_again(run)}")
            case "canceled":
                return FoldLine(
                    fold, "canceled; it goes on from its last checkpoint when it is begun again", "canceled"
                )
            case "failed":
                return self._failed(fold, run)
        return self._with_epochs(fold, run, asked)

    def _without_run(self, fold: str, asked: "Ongoing") -> FoldLine:
        if asked.backfill_id is None:
            return FoldLine(fold, "its run was deleted", "failed")
        before = self._backfills.run_before(asked.backfill_id, asked)
        if self._backfills.is_over(asked.backfill_id):
            reason = before.reason or self._backfills.problem(asked.backfill_id)
            return FoldLine(fold, f"was not begun. {reason}".strip(), "failed" if reason else "canceled")
        if before.state == "requested":
            return FoldLine(fold, "is asked for; the daemon begins within half a minute")
        return FoldLine(fold, "waits for the data to be prepared")

    def _failed(self, fold: str, run: "FoldRun") -> FoldLine:
        if run.is_retried and time.time() - (run.ended or 0) < RETRY_SECONDS:
            return FoldLine(fold, "its run was killed, and starts once more")
        return FoldLine(fold, f"failed. {run.reason}".strip(), "failed")

    def _with_epochs(self, fold: str, run: "FoldRun", asked: "Ongoing") -> FoldLine:
        place = self._experiment.place_of(self._roots, fold)
        records = list(read_records(journal_path(place.folder)))
        epochs = [record for record in records if record.kind == "epoch"]
        n_done, n_epochs = len(epochs), _n_epochs(records)
        if run.state == "succeeded":
            dice = next((r.values.get("val_dice_mean") for r in reversed(records) if r.kind == "end"), None)
            return FoldLine(fold, "finished", "finished", n_done, n_epochs, dice=dice)
        if not is_owned(place.lock):
            is_there = read_committed(place.folder) is not None
            if is_there and (place.own / COMMIT_FILE).stat().st_mtime < asked.since:  # the one to be trained anew
                return FoldLine(fold, f"starts, or waits for a device{_again(run)}")
            state = "is there; its run ends" if is_there else f"starts, or waits for a device{_again(run)}"
            return FoldLine(fold, state, None, n_done, n_epochs)
        if n_epochs and n_done >= n_epochs:
            return FoldLine(fold, "validates", None, n_done, n_epochs)
        left = trained_epoch(place.folder, n_done - 1, n_epochs, epochs[-1].values).seconds_left if epochs else None
        return FoldLine(fold, f"trains{_again(run)}", None, n_done, n_epochs, left)


def _again(run: "FoldRun") -> str:
    return ", once more after its run was killed" if run.n_before else ""


def _n_epochs(records: Sequence[Record]) -> int | None:
    starts = [record for record in records if record.kind == "start"]
    # A group that could not be read has nothing but the reason.
    return starts[-1].values.get("params", {}).get("trainer", {}).get("num_epochs") if starts else None


class View(Protocol):
    """Shows how far the folds are."""

    def show(self, lines: Sequence[FoldLine]) -> None:
        """Shows all of them."""

    def warn_once(self, sentence: str) -> None:
        """Says what hinders all of them, until it is over, which an empty sentence says."""


@contextmanager
def shown_lines() -> Iterator[View]:
    """Yields what shows lines: a table that changes where there is a terminal, else what has changed."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Changes()
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _LiveTable(live, console)


class _Changes:
    def __init__(self) -> None:
        self._shown: dict[str, tuple[str, int]] = {}
        self._warned = ""

    def show(self, lines: Sequence[FoldLine]) -> None:
        for line in lines:
            if self._shown.get(line.fold) != (line.state, line.block):
                self._shown[line.fold] = (line.state, line.block)
                click.echo(str(line))

    def warn_once(self, sentence: str) -> None:
        if sentence and not self._warned:
            click.echo(sentence, err=True)
        self._warned = sentence


class _LiveTable:
    def __init__(self, live: "Live", console: "Console") -> None:
        self._live, self._console, self._warned = live, console, ""

    def show(self, lines: Sequence[FoldLine]) -> None:
        self._live.update(_table(lines), refresh=True)

    def warn_once(self, sentence: str) -> None:
        if sentence and not self._warned:
            self._console.print(sentence)
        self._warned = sentence


def _table(lines: Sequence[FoldLine]) -> "Table":
    from rich.table import Table

    table = Table("Fold", "Epoch", "Left", "Dice", "State", box=None, padding=(0, 2, 0, 0))
    for line in lines:
        table.add_row(
            line.fold, line.epochs, line.left, fixed(line.dice, 3) if line.dice is not None else "", line.state
        )
    return table
