"""How long a job is waited for, and how often a cluster is asked: what a hurried test may change."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nnunet_assets.core.progress import Progress
from nnunet_assets.engines.job_queue import QueueSilentError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Patience:
    """How often is looked, and how long is waited, in seconds.

    Attributes:
        poll: Between two looks at the job's files.
        first_look: Until the queue is asked of a job for the first time; each wait is twice the one before.
        look: Between two questions to the queue, at most, while the job waits.
        running_look: The same while it runs: its own files tell its end, and only a lost node does not. Hundreds of
            supervisors ask one controller.
        last_words: How long a job that is over may take to show its files, which come over a network.
        end: How long an interrupted supervisor waits for its job to be gone.
        lock: How long a job of before may hold the fold, as one on a lost machine.
    """

    poll: float = 0.5
    first_look: float = 2.0
    look: float = 30.0
    running_look: float = 120.0
    last_words: float = 20.0
    end: float = 120.0
    lock: float = 600.0


def ask_until_answered(
    question: Callable[[], _T], progress: Progress, silence: str, seconds: float, poll: float = 0.5
) -> _T:
    """Asks a queue until it answers; the first silence is a warning.

    Args:
        question: Raises `QueueSilentError` where there is no answer.
        progress: Is warned once, and polled meanwhile.
        silence: What the warning says, before the queue's own words.
        seconds: Between two questions.
        poll: Between two polls.
    """
    is_told = False
    while True:
        try:
            return question()
        except QueueSilentError as error:
            if not is_told:
                progress.warn(f"{silence} {error}")
            is_told = True
            pause(progress, seconds, poll)


def pause(progress: Progress, seconds: float, poll: float) -> None:
    """Waits for so many seconds, and polls meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        progress.poll()
        time.sleep(min(left, poll))
