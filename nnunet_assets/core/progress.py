"""What a person who waits is told: one protocol for whoever works, which whoever faces the person implements.

The terminal's implementation is in `cli.terminal`, that of Dagster's log in `assets.events.progress`.
"""

import logging
from typing import Protocol


class Progress(Protocol):
    """Hears how far some work is."""

    def say(self, sentence: str) -> None:
        """Takes what happens now, for those who look on."""

    def warn(self, sentence: str) -> None:
        """Takes what somebody should know who does not look on, such as a wait, a restart or a change."""

    def relay(self, sentence: str) -> None:
        """Takes what a fold's process reports of itself; passed over where Dagster's Pipes bring it already."""

    def step(self, what: str, n_done: int, n: int) -> None:
        """Takes how far it is, as often as the work likes.

        Args:
            what: What is counted, as it reads after a number: `cases read`. Another text is another count.
            n_done: How many are done; 0 begins the count, so that what came before says nothing of the time that is
                left.
            n: How many there are.
        """

    def poll(self) -> None:
        """Is called twice a second or so while a process or a device is waited for; what it raises ends the wait."""


class Silent:
    """Tells nobody."""

    def say(self, sentence: str) -> None:
        """Passes over it."""

    def warn(self, sentence: str) -> None:
        """Passes over it."""

    def relay(self, sentence: str) -> None:
        """Passes over it."""

    def step(self, what: str, n_done: int, n: int) -> None:
        """Passes over it."""

    def poll(self) -> None:
        """Does nothing meanwhile."""


class Logged(Silent):
    """Tells Python's logging, as a library does: warnings are seen, the rest where somebody asked for it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def say(self, sentence: str) -> None:
        """Logs it as information."""
        self._logger.info(sentence)

    def warn(self, sentence: str) -> None:
        """Logs it as a warning."""
        self._logger.warning(sentence)


SILENT: Progress = Silent()
LOGGED: Progress = Logged(logging.getLogger("nnunet_assets"))
"""Where nothing else is said."""
