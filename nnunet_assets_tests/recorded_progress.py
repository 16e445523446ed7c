"""A `Progress` that keeps what it hears, for tests to look at."""

from collections.abc import Callable

from nnunet_assets.core.training.trained_epoch import TrainedEpoch


class RecordedProgress:
    """Keeps sentences and counts in the order in which they came.

    Args:
        hear: Gets every sentence that is said or warned of.
        on_poll: Called at each poll.
        on_step: Called at each count, with how many are done.
    """

    def __init__(
        self,
        hear: Callable[[str], object] = lambda _: None,
        on_poll: Callable[[], object] = lambda: None,
        on_step: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._hear, self._on_poll, self._on_step = hear, on_poll, on_step
        self.said: list[str] = []
        self.warned: list[str] = []
        self.relayed: list[str] = []
        self.steps: list[tuple[str, int, int]] = []
        self.shares: list[float] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)
        self._hear(sentence)

    def warn(self, sentence: str) -> None:
        self.warned.append(sentence)
        self._hear(sentence)

    def relay(self, sentence: str) -> None:
        self.relayed.append(sentence)

    def epoch(self, trained: TrainedEpoch) -> None:
        self.relayed.append(str(trained))

    def step(self, what: str, n_done: int, n: int, share: float | None = None) -> None:
        self.steps.append((what, n_done, n))
        self.shares.append(n_done / max(n, 1) if share is None else share)
        self._on_step(n_done)

    def poll(self) -> None:
        self._on_poll()
