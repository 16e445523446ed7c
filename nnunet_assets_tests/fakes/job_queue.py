"""A cluster's queue played in this process: jobs run when they are released, as a script says, in milliseconds.

What a job leaves on the disk is what `engines.job_process` leaves.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.core.fold.journal import n_saved_epochs
from nnunet_assets.engines.job_files import (
    ENDED_FILE,
    STARTED_FILE,
    TASK_FILE,
    Ended,
    JobTask,
    Started,
    described,
    write_for_job,
)
from nnunet_assets.engines.job_queue import GONE, JobLook, JobOrder, QueueSilentError
from nnunet_assets_tests.fakes.fold_child import played_fold

Job = Callable[["FakeQueue", str, JobOrder], None]
"""What happens when a job is released."""


@dataclass
class FakeQueue:
    """A queue that keeps what it was asked.

    Attributes:
        preprocessed: Where what folds are trained on lies.
        script: What happens to the jobs, in turn; a job after these trains its fold to the end.
        silent_for: How many calls get no answer, from now on.
        calls: What it was asked: `submit 1`, `release 1`, ...
        states: By id, how the jobs are.
        held: By id, jobs that were taken and not released.
        names: By id, what they are called.
        forgotten: Names of the jobs that it was told are over.
    """

    preprocessed: Path
    script: Sequence[Job] = ()
    silent_for: int = 0
    calls: list[str] = field(default_factory=list)
    states: dict[str, JobLook] = field(default_factory=dict)
    held: dict[str, JobOrder] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)

    name, title, cancel_command = "slurm", "Slurm", "scancel"

    def submit(self, order: JobOrder) -> str:
        job_id = str(len(self.names) + 1)
        self._note(f"submit {job_id}")
        assert (order.folder / TASK_FILE).exists()
        self.names[job_id], self.held[job_id] = order.name, order
        self.states[job_id] = JobLook("PENDING", "JobHeldUser")
        return job_id

    def release(self, job_id: str) -> None:
        self._note(f"release {job_id}")
        order = self.held.pop(job_id, None)
        if order is None:
            return
        index = int(job_id) - 1
        (self.script[index] if index < len(self.script) else trains())(self, job_id, order)

    def find(self, name: str) -> str | None:
        self._note(f"find {name}")
        return max((job_id for job_id, known in self.names.items() if known == name), default=None)

    def cancel_others(self, name: str, job_id: str) -> None:
        for other, known in self.names.items():
            if known == name and other != job_id and other in self.held:
                self.cancel(other)

    def look(self, job_id: str) -> JobLook:
        self._note(f"look {job_id}")
        return self.states.get(job_id, JobLook(GONE))

    def cancel(self, job_id: str) -> None:
        self._note(f"cancel {job_id}")
        if not self.states[job_id].is_over:
            self.states[job_id] = JobLook("CANCELLED", None, "n1")

    def forget(self, name: str) -> None:
        self.forgotten.append(name)

    @property
    def living(self) -> list[str]:
        return [job_id for job_id, look in self.states.items() if not look.is_over]

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.silent_for:
            self.silent_for -= 1
            raise QueueSilentError("Unable to contact slurm controller (connect failure).")


def trains(n_epochs: int | None = None, *, ended: Ended | None = None, state: str = "COMPLETED") -> Job:
    """Returns a job that trains.

    Args:
        n_epochs: How many epochs it saves before it ends; None: it brings the fold to its COMMIT.
        ended: What it says of its end; None: that it did its work, or, where it did not, nothing.
        state: How the queue sees it afterwards.
    """

    def run(queue: FakeQueue, job_id: str, order: JobOrder) -> None:
        task = dataclass_from_json(JobTask, (order.folder / TASK_FILE).read_bytes())
        write_for_job(order.folder / STARTED_FILE, Started("n1", time.time()))
        attempt = task.attempt
        attempt = type(attempt)(**{**vars(attempt), "job": described(task, job_id, "n1")})
        n_before = n_saved_epochs(attempt.fold_folder) or 0

        def on_epoch() -> None:
            if n_epochs is not None and (n_saved_epochs(attempt.fold_folder) or 0) - n_before >= n_epochs:
                raise _Cut

        try:
            if n_epochs != 0:
                played_fold(attempt, queue.preprocessed, on_epoch)
            said = ended or (Ended(0, None) if n_epochs is None else None)
        except _Cut:
            said = ended
        (order.folder / "output.log").write_text(f"printed by job {job_id}\n")
        if said:
            write_for_job(order.folder / ENDED_FILE, said)
        queue.states[job_id] = JobLook(state, None, "n1")

    return run


def stays(state: str, node: str | None = None) -> Job:
    """Returns a job that does nothing and stays as it is until it is ended."""

    def run(queue: FakeQueue, job_id: str, order: JobOrder) -> None:
        if node:
            write_for_job(order.folder / STARTED_FILE, Started(node, time.time()))
        queue.states[job_id] = JobLook(state, "Priority" if state == "PENDING" else None, node)

    return run


class _Cut(Exception):  # noqa: N818
    """Ends a fold in the middle."""
