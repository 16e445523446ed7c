"""How a job of a fold comes to be: what is on the disk before there is one, and its id before it may start."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.files.layout import REQUEST_FILE, job_lock_of
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.engine import FoldWork
from nnunet_assets.engines.job_end import end_late_ones
from nnunet_assets.engines.job_files import (
    ENVIRONMENT_FILE,
    JOBS_FOLDER,
    STARTED_FILE,
    TASK_FILE,
    JobRecord,
    JobTask,
    job_folder,
    mark_used,
    request_digest,
    write_for_job,
    write_record,
)
from nnunet_assets.engines.job_queue import JobLook, JobOrder, JobQueue
from nnunet_assets.engines.job_script import environment_script
from nnunet_assets.engines.patience import Patience, ask_until_answered, pause
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode

_T = TypeVar("_T")


@dataclass(frozen=True)
class JobStart:
    """Brings jobs to their start.

    Attributes:
        queue: The cluster's.
        resources: What each job is to get.
        patience: How long is waited.
    """

    queue: JobQueue
    resources: Resources
    patience: Patience

    def wait_for_lock(self, work: FoldWork, progress: Progress) -> ChildResult | None:
        """Waits until no job of before holds the fold; returns how that failed, None: it did not.

        A machine that the cluster gave up for lost may go on training.
        """
        lock, until = job_lock_of(work.attempt.fold_folder), time.monotonic() + self.patience.lock
        is_told = False
        while is_owned(lock):
            if not is_told:
                progress.warn("A job of before still holds the fold, as on a machine that was lost. It is waited for.")
            is_told = True
            if time.monotonic() > until:
                problem = f"A job of before still holds {lock}. Find out where it runs, and end it there."
                return ChildResult(ExitCode.OWNED, problem, "")
            pause(progress, self.patience.poll, self.patience.poll)
        return None

    def prepare(self, work: FoldWork) -> JobRecord:
        """Writes all that the job reads, and the record of it, before there is a job."""
        attempt = work.attempt
        record = JobRecord(
            engine=self.queue.name,
            job=uuid.uuid4().hex,
            job_id=None,
            request=request_digest(attempt),
            asked_by=attempt.asked_by,
            submitted_at=time.time(),
        )
        folder = job_folder(work.folder, record.job)
        (work.folder / JOBS_FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        attempt = replace(work.begun_now(None), own_folder=folder)
        lock = job_lock_of(attempt.fold_folder)
        lock.parent.mkdir(parents=True, exist_ok=True)
        write_for_job(
            folder / TASK_FILE,
            JobTask(
                self.queue.name,
                work.module,
                attempt,
                work.n_halvings,
                record.submitted_at,
                lock,
                resources=self.resources,
            ),
        )
        environment = environment_script(work.environment)
        write_atomically(folder / ENVIRONMENT_FILE, environment.encode(), is_private=True)
        mark_used(work.environment, folder)
        # By this a later run knows what was begun.
        write_json_atomically(work.folder / REQUEST_FILE, dataclass_to_json(attempt))
        write_record(work.folder, record)
        return record

    def bring(
        self, record: JobRecord, work: FoldWork, progress: Progress, *, is_left: bool
    ) -> tuple[JobRecord, JobLook | None]:
        """Makes the job one that has an id on the disk and may start.

        Returns:
            The record, without an id where an earlier supervisor was killed before it asked for one; and how the job
            is that an earlier supervisor left.
        """
        order = JobOrder(record.name, job_folder(work.folder, record.job), self.resources)
        if record.job_id is None:
            if is_left and self._ask(lambda: self.queue.find(record.name) or "", progress) == "":
                return record, None
            job_id = self._ask(lambda: self.queue.find(record.name) or self.queue.submit(order), progress)
            record = replace(record, job_id=job_id)
            write_record(work.folder, record)
        job_id = str(record.job_id)
        end_late_ones(self.queue, record)
        look = self._ask(lambda: self.queue.look(job_id), progress) if is_left else None
        has_started = (order.folder / STARTED_FILE).exists()
        if not has_started and not (look and look.is_over):
            self._ask(lambda: self.queue.release(job_id), progress)
        if not is_left:
            progress.say(f"{self.queue.title} has the job {job_id} (its files: {order.folder}).")
        elif look and not look.is_over:
            state = f"it runs on {look.node}" if look.node else f"it is {look.state}"
            progress.warn(f"The job {job_id}, which an earlier run submitted, goes on ({state}) and is followed.")
        return record, look

    def _ask(self, question: Callable[[], _T], progress: Progress) -> _T:
        silence = f"{self.queue.title} does not answer and is asked again until it does."
        return ask_until_answered(question, progress, silence, self.patience.first_look, self.patience.poll)
