"""What an engine with a queue of jobs is asked: to take one, to let it start, to say how it is, and to end it.

`JobEngine` alone decides what is asked when. A job is taken before it may start, so that its id is on the disk by then,
and it bears a name by which it is found where the answer to its submission was lost.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.errors import NnunetAssetsError

WAITS = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"})
ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
GONE = "GONE"
"""Of a job that nobody knows, or not any more."""


class QueueSilentError(NnunetAssetsError):
    """The queue does not answer, or not with an answer; the job, if there is one, goes on."""


class QueueRefusedError(NnunetAssetsError):
    """The queue does not take the job: asking again changes nothing."""


@dataclass(frozen=True)
class JobOrder:
    """A job that is to be taken.

    Attributes:
        name: By which it is found.
        folder: The job's own.
        resources: What it is to get.
        module: What its script runs, with the folder as its argument.
    """

    name: str
    folder: Path
    resources: Resources
    module: str = "nnunet_assets.engines.job_process"


@dataclass(frozen=True)
class JobLook:
    """How a job is; states are Slurm's words, and `GONE`.

    Attributes:
        state: `PENDING`, `RUNNING`, ...
        reason: Why it waits, in the queue's words; None: it does not say.
        node: Where it runs; None: nowhere, or not known.
        starts_at: When the queue expects it to start; None: it does not say.
        place: How many jobs of its partition are before it, this one included, and how many wait; None: not known.
        exit_code: That of its script; None: not known.
        may_never_start: Whether it waits for what the cluster does not have, so that time alone does not end that.
        said: How it ended, in a sentence without its full stop; None: the queue says nothing more than the state.
    """

    state: str
    reason: str | None = None
    node: str | None = None
    starts_at: str | None = None
    place: tuple[int, int] | None = None
    exit_code: int | None = None
    may_never_start: bool = False
    said: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more, nor will."""
        return self.state in ENDED or self.state == GONE

    @property
    def waits(self) -> bool:
        """Whether it has not begun."""
        return self.state in WAITS


class JobQueue(Protocol):
    """A cluster's queue. Each call may raise `QueueSilentError`."""

    @property
    def name(self) -> str:
        """The engine's word: `slurm`."""

    @property
    def title(self) -> str:
        """What people call it: `Slurm`."""

    @property
    def cancel_command(self) -> str | None:
        """By which a person ends a job, before its id: `scancel`; None: none outlives who submitted it."""

    def submit(self, order: JobOrder) -> str:
        """Takes a job, which does not start before `release`; returns its id.

        Raises:
            QueueRefusedError: It does not; the message says why.
        """

    def release(self, job_id: str) -> None:
        """Lets a job start; one that may already, or has, stays as it is."""

    def find(self, name: str) -> str | None:
        """Returns the id of the newest job of a name; None: there is none."""

    def cancel_others(self, name: str, job_id: str) -> None:
        """Ends the jobs of a name but this one: of submissions that were taken after nobody waited for them any more.

        None of them was ever let go, so that none of them runs.
        """

    def look(self, job_id: str) -> JobLook:
        """Returns how a job is."""

    def cancel(self, job_id: str) -> None:
        """Asks a job to end; it may take a while. One that has ended stays as it is."""

    def forget(self, name: str) -> None:
        """Lets go of what this process keeps for a job of a name that is over; none of its calls comes after that."""
