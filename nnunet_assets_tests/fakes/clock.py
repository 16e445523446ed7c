"""A clock that a test sets."""


class Clock:
    """Stands in the place of the module `time`, and still until it is set."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds
