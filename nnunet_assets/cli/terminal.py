"""Where commands print their tables, and show how far they are."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

QUIET_SECONDS = 2.0
"""What is done by then shows no progress bar."""


def console() -> "Console":
    """Returns the console of standard output, which prints text as it is: brackets in a path are no markup.

    A pipe or a file has no width, and rich would take 80 columns and break names in the middle.
    """
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)


class TerminalProgress:
    """Prints sentences, and shows a bar with the time that is left on a terminal's standard error.

    Args:
        to_stderr: Whether everything goes to standard error, since a command's result goes to standard output as JSON.
            Warnings always do.
    """

    def __init__(self, *, to_stderr: bool = False) -> None:
        self._to_stderr = to_stderr
        self._shown_from = time.monotonic() + QUIET_SECONDS
        self._bar: Bar | None = None
        self._what = ""

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

    def step(self, what: str, n_done: int, n: int) -> None:
        """Moves the bar, which appears only where there is something to wait for."""
        if time.monotonic() < self._shown_from:
            return
        if self._bar is None or what != self._what:
            self._take_bar_away()
            self._bar, self._what = _bar(what), what
        if self._bar.console.is_terminal:
            self._bar.start()
            self._bar.update(self._bar.task_ids[0], completed=n_done, total=n)

    def _print(self, sentence: str, *, to_stderr: bool) -> None:
        # A bar is drawn where the cursor is: a sentence goes above it, and the next step draws it anew.
        self._take_bar_away()
        click.echo(sentence, err=to_stderr)

    def _take_bar_away(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _bar(what: str) -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(what, total=None)
    return bar
