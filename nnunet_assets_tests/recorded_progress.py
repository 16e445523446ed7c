"""A `Progress` that keeps what it hears, for tests to look at."""


class RecordedProgress:
    """Keeps sentences and counts in the order in which they came."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.relayed: list[str] = []
        self.steps: list[tuple[str, int, int]] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def warn(self, sentence: str) -> None:
        self.warned.append(sentence)

    def relay(self, sentence: str) -> None:
        self.relayed.append(sentence)

    def step(self, what: str, n_done: int, n: int) -> None:
        self.steps.append((what, n_done, n))
