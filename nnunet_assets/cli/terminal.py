"""Where commands print their tables, and show how far they are."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli.asset_words import with_commands
from nnunet_assets.core.progress import Count
from nnunet_assets.core.training.trained_epoch import TrainedEpoch, duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

QUIET_SECONDS = 2.0
"""What is done by then shows no progress bar."""

MANY_EPOCHS = 1000
"""nnU-Net's own number, for a training that does not tell how many it has."""


def console() -> "Console":
    """Returns the console of standard output, which prints text as it is: brackets in a path are no markup.

    A sentence is one line, which a terminal wraps itself: a line end of rich's would be part of a path that somebody
    copies. Tables are as wide as the terminal, where they are printed with `soft_wrap=False`; a pipe or a file has no
    width, and rich would take 80 columns.
    """
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False, soft_wrap=True)


class TerminalProgress:
    """Prints sentences, and shows a bar with the time that is left on a terminal's standard error.

    Where the sentences go to no terminal, what is counted is a line there now and then; see `Count`.

    Args:
        to_stderr: Whether everything goes to standard error, since a command's result goes to standard output as JSON.
            Warnings always do.
    """

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr
        self._shown_from = time.monotonic() + QUIET_SECONDS
        self._bar: Bar | None = None
        self._what = ""
        self._steps, self._epochs = Count(), Count()

    def __enter__(self) -> "TerminalProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._take_bar_away()

    def say(self, sentence: str) -> None:
        """Prints it."""
        self._print(sentence, to_stderr=self._to_stderr)

    def warn(self, sentence: str) -> None:
        """Prints it to standard error."""
        self._print(sentence, to_stderr=True)

    def relay(self, sentence: str) -> None:
        """Prints it."""
        self.say(sentence)

    def poll(self) -> None:
        """Does nothing meanwhile: a bar draws itself."""

    def epoch(self, trained: TrainedEpoch) -> None:
        """Prints it; where nobody looks on, the first one, the last one, and some between."""
        begins = self._epochs.take("epochs", trained.n_done, trained.n_epochs or MANY_EPOCHS)
        is_due = self._epochs.is_due() or begins or trained.n_done == trained.n_epochs
        if is_due or self._has_terminal():
            self.say(str(trained))

    def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
        """Moves the bar, which appears only where there is something to wait for, or prints a line that is due."""
        self._steps.take(what, n_done, n, share)
        if not self._has_terminal() and self._steps.is_due():
            self.say(f"{self._steps}.")
        if time.monotonic() < self._shown_from:
            return
        if self._bar is None or what != self._what:
            self._take_bar_away()
            bar = _bar(what)
            if not bar.console.is_terminal:  # where even its end would be an empty line
                return
            self._bar, self._what = bar, what
        left = self._steps.seconds_left
        shown = "" if left is None or n_done == n else f"about {duration(left)} left"
        self._bar.update(self._bar.task_ids[0], completed=n_done, total=n, left=shown)
        self._bar.start()

    def _has_terminal(self) -> bool:
        return (sys.stderr if self._to_stderr else sys.stdout).isatty()

    def _print(self, sentence: str, *, to_stderr: bool) -> None:
        # A bar is drawn where the cursor is: a sentence goes above it, and the next step draws it anew.
        self._take_bar_away()
        click.echo(with_commands(sentence), err=to_stderr)

    def _take_bar_away(self) -> None:
        if self._bar is not None:
            if self._bar.live.is_started:  # else rich ends it with an empty line, in a log
                self._bar.stop()
            self._bar = None


def _bar(what: str) -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (MofNCompleteColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(what, total=None, left="")
    return bar
