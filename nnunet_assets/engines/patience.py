"""How long a job is waited for, and how often a cluster is asked: what a hurried test may change."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """How often is looked, and how long is waited, in seconds.

    Attributes:
        poll: Between two looks at the job's files.
        first_look: Until the queue is asked of a job for the first time; each wait is twice the one before.
        look: Between two questions to the queue, at most.
        last_words: How long a job that is over may take to show its files, which come over a network.
        end: How long an interrupted supervisor waits for its job to be gone.
        lock: How long a job of before may hold the fold, as one on a lost machine.
    """

    poll: float = 0.5
    first_look: float = 2.0
    look: float = 30.0
    last_words: float = 20.0
    end: float = 120.0
    lock: float = 600.0
