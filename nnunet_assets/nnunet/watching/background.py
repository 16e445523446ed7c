"""A thread that writes what a training is watched by, in order, so that the training goes on meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any


class Background:
    """One thread; what fails in it costs what was to be written, and not the training.

    Attributes:
        n_failed: How many pieces of work did not succeed so far.
    """

    def __init__(self) -> None:
        self.n_failed = 0
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._last: Future[None] | None = None

    def submit(self, work: Callable[..., object], *arguments: Any) -> None:
        """Has the work done after all that was given before."""
        self._last = self._thread.submit(self._do, work, arguments)

    def wait(self) -> None:
        """Returns when all of it is done."""
        if self._last is not None:
            wait([self._last])

    def close(self) -> int:
        """Returns, when all of it is done, how many pieces of work failed."""
        self._thread.shutdown(wait=True)
        return self.n_failed

    def _do(self, work: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            work(*arguments)
        except Exception:  # noqa: BLE001 (a full disk, a library: what is only looked at must never end a training)
            self.n_failed += 1
