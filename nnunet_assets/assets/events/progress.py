"""How far some work is, as lines in the log of a Dagster run."""

import logging
import time

LOG_SECONDS = 30.0


class LogProgress:
    """Logs sentences at once, and every half minute how much is done and how long the rest will take.

    What takes less is not talked about.

    Args:
        log: The run's.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._what = ""
        self._begun = self._logged = 0.0
        self._n_before = 0

    def say(self, sentence: str) -> None:
        """Logs it as information."""
        self._log.info(sentence)

    def warn(self, sentence: str) -> None:
        """Logs it as a warning."""
        self._log.warning(sentence)

    def relay(self, sentence: str) -> None:
        """Passes over it: the fold's process writes to this log by itself, through Pipes."""

    def poll(self) -> None:
        """Does nothing meanwhile."""

    def step(self, what: str, n_done: int, n: int) -> None:
        """Logs a line where the last one is old enough."""
        now = time.monotonic()
        if what != self._what or not n_done:
            self._what, self._n_before, self._begun, self._logged = what, n_done, now, now
        if now - self._logged < LOG_SECONDS or n_done == self._n_before:
            return
        self._logged = now
        minutes = (now - self._begun) / (n_done - self._n_before) * (n - n_done) / 60
        self._log.info(f"{n_done} of {n} {what}, about {max(1, round(minutes))} min left.")
