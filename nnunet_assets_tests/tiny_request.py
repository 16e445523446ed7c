"""A request that the tests send to small processes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TinyRequest:
    """What such a process is asked: the fold, where it asks for one."""

    fold: str = ""
