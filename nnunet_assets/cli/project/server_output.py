"""What of the servers' output `dev` shows: warnings and errors, without their traces; all of it stays in files.

Dagster and MLflow print a line a look of each sensor and a request of each page. Servers write to files, not to a pipe:
a fold that trains writes to the same place, and goes on when nobody reads it any more.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import click

POLL_SECONDS = 0.5

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LEVEL = r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b"
_HEADER = re.compile(rf"(?:\d{{4}}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d:\d\d.*?\b)?{_LEVEL}[ :\]]")
_TRACEBACK, _DAGSTERS_TRACE = "Traceback (most recent call last)", "Stack Trace:"
_SHOWN = ("WARNING", "ERROR", "CRITICAL")

_NOTHING_NEW = re.compile(
    "EventLogConsumerDaemon - WARNING - No cursor for event type"  # of every first start
    "|RUN_FAILURE - Execution of run for .* failed. Steps failed: "  # which were shown
)


class Choice:
    """Tells of one line after another whether a person has to see it."""

    def __init__(self) -> None:
        self._shows = False

    def shows(self, line: str) -> bool:
        """Says it of the next line; what belongs to a line that is shown is shown with it."""
        text = _COLOUR.sub("", line)
        if header := _HEADER.match(text):
            self._shows = header[1] in _SHOWN and not _NOTHING_NEW.search(text)
        elif text.startswith(_TRACEBACK):
            self._shows = True
        elif text.startswith(_DAGSTERS_TRACE):  # behind the sentence that says what is wrong
            self._shows = False
        return self._shows


@contextmanager
def shown_output(logs: Sequence[Path]) -> Iterator[Callable[[], None]]:
    """Shows what is written into files from now on, as far as a person has to see it; yields what shows the rest."""
    followed = [_Followed(log) for log in logs]
    ended, looking = threading.Event(), threading.Lock()

    def look() -> None:
        with looking:
            for one in followed:
                one.show_new()

    def follow() -> None:
        while not ended.wait(POLL_SECONDS):
            look()

    thread = threading.Thread(target=follow, daemon=True, name="output of the servers")
    thread.start()
    try:
        yield look
    finally:
        ended.set()
        thread.join()
        look()


class _Followed:
    def __init__(self, log: Path) -> None:
        self._log, self._choice = log, Choice()
        self._n_read = log.stat().st_size if log.exists() else 0

    def show_new(self) -> None:
        with suppress(OSError), self._log.open("rb") as file:
            file.seek(self._n_read)
            new, last, _ = file.read().rpartition(b"\n")
            self._n_read += len(new) + len(last)
            for line in new.decode(errors="replace").splitlines():
                if self._choice.shows(line):
                    click.echo(line if sys.stdout.isatty() else _COLOUR.sub("", line))
