"""What a person who waits is told: one protocol for whoever works, which whoever faces the person implements.

The terminal's implementation is in `cli.terminal`, that of Dagster's log in `assets.events.progress`.
"""

import logging
import time
from typing import Protocol

from nnunet_assets.core.training.trained_epoch import TrainedEpoch

LOG_SHARE, LOG_SECONDS, SILENT_SECONDS = 0.05, 30.0, 30 * 60.0
"""A log that nobody looks at gets a line of a count where so much more is done and so long is passed since the last,
and after the longest silence one of whatever is done: of 1000 epochs of a minute, 34."""


class Progress(Protocol):
    """Hears how far some work is."""

    def say(self, sentence: str) -> None:
        """Takes what happens now, for those who look on."""

    def warn(self, sentence: str) -> None:
        """Takes what somebody should know who does not look on, such as a wait, a restart or a change."""

    def relay(self, sentence: str) -> None:
        """Takes what a fold's process reports of itself; passed over where Dagster's Pipes bring it already."""

    def epoch(self, trained: TrainedEpoch) -> None:
        """Takes an epoch that a fold has trained."""

    def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
        """Takes how far it is, as often as the work likes.

        Args:
            what: What is counted, as it reads after a number: `cases read`. Another text is another count.
            n_done: How many are done; 0 begins the count, so that what came before says nothing of the time that is
                left.
            n: How many there are.
            share: The part of the work that is done, where what is counted differs in size; None: as counted.
        """

    def poll(self) -> None:
        """Is called twice a second or so while a process or a device is waited for; what it raises ends the wait."""


class Count:
    """Something that is counted: how long the rest takes, and which of its steps a log has a line of.

    What takes less than half a minute is not talked about.
    """

    def __init__(self) -> None:
        self._what = ""
        self._n_done = self._n = 0
        self._share = self._share_before = self._share_shown = 0.0
        self._begun = self._shown = time.monotonic()

    def take(self, what: str, n_done: int, n: int, share: float | None = None) -> bool:
        """Takes a step, and says whether it begins a count anew; for the arguments see `Progress.step`."""
        now, part = time.monotonic(), (n_done / n if n else 1.0) if share is None else share
        begins = (what, n) != (self._what, self._n) or n_done < self._n_done or not n_done
        if begins:
            self._begun = self._shown = now
            self._share_before = self._share_shown = part
        self._what, self._n_done, self._n, self._share = what, n_done, n, part
        return begins

    def is_due(self) -> bool:
        """Says whether a log gets a line now; it is then taken for shown."""
        now, more = time.monotonic(), self._share - self._share_shown
        silence = now - self._shown
        is_end = self._n_done >= self._n
        if more <= 0 or silence < LOG_SECONDS or not (is_end or more > LOG_SHARE - 1e-9 or silence >= SILENT_SECONDS):
            return False
        self._shown, self._share_shown = now, self._share
        return True

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the rate so far; None: there is none yet."""
        done = self._share - self._share_before
        return (time.monotonic() - self._begun) / done * (1 - self._share) if done > 0 else None

    def __str__(self) -> str:
        """Returns how far it is: `20 of 100 cases read, about 2 min left`."""
        left = self.seconds_left if self._n_done < self._n else None
        rest = "" if left is None else f", about {max(1, round(left / 60))} min left"
        return f"{self._n_done} of {self._n} {self._what}{rest}"


class Silent:
    """Tells nobody."""

    def say(self, sentence: str) -> None:
        """Passes over it."""

    def warn(self, sentence: str) -> None:
        """Passes over it."""

    def relay(self, sentence: str) -> None:
        """Passes over it."""

    def epoch(self, trained: TrainedEpoch) -> None:
        """Passes over it."""

    def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
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
