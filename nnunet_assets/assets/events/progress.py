"""How far some work is, as lines in the log of a Dagster run."""

import logging

from nnunet_assets.core.progress import Count
from nnunet_assets.core.training.trained_epoch import TrainedEpoch


class LogProgress:
    """Logs sentences at once, and now and then how much is done and how long the rest will take; see `Count`.

    Args:
        log: The run's.
        relays: Whether it logs what a fold's process reports of itself, which writes to no log where it runs in a job.
    """

    def __init__(self, log: logging.Logger, *, relays: bool = False) -> None:
        self._log, self._relays = log, relays
        self._count = Count()

    def say(self, sentence: str) -> None:
        """Logs it as information."""
        self._log.info(sentence)

    def warn(self, sentence: str) -> None:
        """Logs it as a warning."""
        self._log.warning(sentence)

    def relay(self, sentence: str) -> None:
        """Passes over it where the fold's process writes to this log by itself, through Pipes."""
        if self._relays:
            self._log.info(sentence)

    def epoch(self, trained: TrainedEpoch) -> None:
        """Logs it where it is relayed."""
        self.relay(str(trained))

    def poll(self) -> None:
        """Does nothing meanwhile."""

    def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
        """Logs a line where one is due."""
        self._count.take(what, n_done, n, share)
        if self._count.is_due():
            self._log.info(f"{self._count}.")
