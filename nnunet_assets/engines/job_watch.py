"""What a person hears of a job: how it waits, where it runs, and what a queue says of an end without a word."""

import time
from collections.abc import Callable

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.text.amounts import duration_text
from nnunet_assets.engines.job_files import Started
from nnunet_assets.engines.job_queue import GONE, JobLook, JobQueue, QueueSilentError
from nnunet_assets.engines.patience import Patience
from nnunet_assets.processes.exit_codes import ExitCode

Note = Callable[[str, str], None]

SAME_SECONDS = 600.0
"""How often a wait for the same reason is told again, where its place in the queue changed."""

NEVER = frozenset(
    {
        *("BadConstraints", "PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "PartitionDown"),
        *("InvalidAccount", "InvalidQOS", "AccountNotAllowed", "QOSNotAllowed", "QOSTimeLimit", "JobHeldAdmin"),
    }
)
"""Reasons of a wait that time alone does not end."""

_FATES = {
    "TIMEOUT": "reached its time limit and was ended",
    "DEADLINE": "reached its deadline and was ended",
    "NODE_FAIL": "was lost with its node",
    "BOOT_FAIL": "was lost, since its node did not start",
    "PREEMPTED": "had to make room for another job",
    "REVOKED": "was taken away by its cluster",
    "CANCELLED": "was cancelled, and not by the run that supervises it",
    GONE: "is not known any more, and did not say how it ended",
}
"""By state: ends that are no fault of the fold, so that it goes on in a new job."""


class QueueWatch:
    """Asks a queue now and then how a job is, and tells what changed.

    Args:
        queue: The cluster's.
        job_id: The job.
        submitted_at: When it was submitted, in seconds since 1970.
        progress: Hears of it.
        patience: How often is asked.
        note: Takes the job's id and how it is, at each change.
    """

    def __init__(
        self,
        queue: JobQueue,
        job_id: str,
        submitted_at: float,
        progress: Progress,
        *,
        patience: Patience,
        note: Note,
    ) -> None:
        self.started: Started | None = None
        self._queue, self._job_id, self._submitted_at, self._progress = queue, job_id, submitted_at, progress
        self._note = note
        self._most, self._wait = patience.look, patience.first_look
        self._running_look = patience.running_look
        self._next = time.monotonic() + self._wait
        self._told: tuple[str, str | None] | None = None
        self._told_at, self._told_place = 0.0, None  # type: tuple[float, tuple[int, int] | None]
        self._is_silent = False

    def tell_start(self, started: Started) -> None:
        """Takes, once, that the job runs; from then on its own files tell its end, and the queue is asked rarely."""
        if self.started:
            return
        self.started, self._most, self._wait = started, self._running_look, self._running_look
        self._next = time.monotonic() + self._wait
        self._note(self._job_id, f"RUNNING on {started.node}")
        waited = duration_text(max(0.0, started.at - self._submitted_at))
        self._progress.say(f"The job {self._job_id} runs on {started.node}, after {waited} in the queue.")

    def look_if_due(self) -> JobLook | None:
        """Returns how the job is; None: it was not asked, or there was no answer."""
        if time.monotonic() < self._next:
            return None
        self._wait = min(2 * self._wait, self._most)
        try:
            look = self._queue.look(self._job_id)
        except QueueSilentError as error:
            if not self._is_silent:
                self._progress.warn(
                    f"{self._queue.title} does not say how the job {self._job_id} is, which goes on meanwhile. {error}"
                )
            self._is_silent = True
            return None
        finally:
            self._next = time.monotonic() + self._wait
        if self._is_silent:
            self._progress.warn(f"{self._queue.title} answers again.")
        self._is_silent = False
        if look.waits or (not look.is_over and look.state != "RUNNING"):
            self._tell_wait(look)
        return look

    def _tell_wait(self, look: JobLook) -> None:
        now, what = time.monotonic(), (look.state, look.reason)
        if what == self._told and (look.place == self._told_place or now - self._told_at < SAME_SECONDS):
            return
        self._told, self._told_at, self._told_place = what, now, look.place
        place = f", place {look.place[0]} of {look.place[1]} that wait" if look.place else ""
        start = f"; expected to start {look.starts_at}" if look.starts_at else ""
        reason = f" ({look.reason}{place})" if look.reason else place
        self._note(self._job_id, f"{look.state}{reason}{start}")
        sentence = f"The job {self._job_id} is {look.state}{reason}{start}."
        if look.reason not in NEVER and not look.may_never_start:
            self._progress.say(sentence)
            return
        self._progress.warn(
            f"{sentence} It may wait for ever: where what it asks for is more than the cluster gives, end the run, "
            "correct engine.yaml or the experiment's `engine`, and start it again."
        )


def ended_without_a_word(title: str, job_id: str, look: JobLook, told: str, tail: str) -> tuple[int, str]:
    """Returns exit code and sentence of a job that is over and left no file that says how it ended.

    Args:
        title: What people call the queue.
        job_id: The job.
        look: How the queue saw it.
        told: What the fold's process said last of its end; empty: nothing.
        tail: The last that the job printed.
    """
    last = tail.strip().splitlines()[-1:] or ["nothing"]
    printed = f"The last it printed was: {last[0]}"
    told = f"{look.said}." if look.said else told
    if fate := _FATES.get(look.state):
        node = f" on {look.node}" if look.node else ""
        return ExitCode.STOPPED, f"{title}'s job {job_id}{node} {fate}. {told or printed}"
    if look.state == "OUT_OF_MEMORY":
        return ExitCode.OUT_OF_MEMORY, f"{title}'s job {job_id} was ended for lack of memory. {told or printed}"
    code = look.exit_code or ExitCode.BUG
    seen = f"with exit code {code}" if code > 0 else f"by signal {-code}"
    return code, f"{title}'s job {job_id} ended {seen} ({look.state}) before its process did. {told or printed}"
