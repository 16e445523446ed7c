"""An engine with a queue: the fold's process runs in a job, which outlives whoever supervises it.

What must hold whatever is killed when:

- The fold's record names the job before there is one, and the job cannot start before its id is on the disk.
- A fold has one job. Who finds one that lives follows it; who finds one that is over reads how it ended.
- Who is interrupted ends the job and waits until it is gone. Who is killed does not: the next one follows it.
- A queue that does not answer says nothing of the job. Only an answer, or the job's own files, end the waiting.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.engine import FoldWork
from nnunet_assets.engines.job_end import JobEnd, close_job, newest
from nnunet_assets.engines.job_files import (
    ENDED_FILE,
    STARTED_FILE,
    Ended,
    JobRecord,
    Started,
    job_folder,
    open_record,
    read_from_job,
)
from nnunet_assets.engines.job_queue import JobLook, JobQueue, QueueRefusedError
from nnunet_assets.engines.job_start import JobStart
from nnunet_assets.engines.job_watch import Note, QueueWatch
from nnunet_assets.engines.patience import Patience
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode, FailureClass, failure_class
from nnunet_assets.processes.supervisor import CURES, PERMANENT, Cure

JOB_CURES: Mapping[FailureClass, Cure] = {**CURES, FailureClass.INTERRUPTED: "in a new job"}
"""A time limit, a lost node, a job that somebody else ended: none of them is a failure while epochs are saved."""


class JobEngine:
    """Runs the process in a job.

    Args:
        queue: The cluster's.
        resources: What each job is to get.
        patience: How often is looked.
        note: Takes a job's id and how it is, at each change: `PENDING (Priority, place 3 of 17 that wait)`.
    """

    cures = JOB_CURES

    def __init__(
        self, queue: JobQueue, resources: Resources, patience: Patience | None = None, note: Note = lambda *_: None
    ) -> None:
        self._queue, self.resources = queue, resources
        self._patience, self._note = patience or Patience(), note
        self._start, self._end = JobStart(queue, resources, self._patience), JobEnd(queue, self._patience)

    @property
    def name(self) -> str:
        """As `Engine.name`."""
        return self._queue.name

    def run(self, work: FoldWork, *, on_poll: Callable[[], None], progress: Progress) -> ChildResult:
        """As `Engine.run`, in the job that is there already, or in a new one.

        Raises:
            ConfigError: The cluster's commands cannot be run here.
        """
        record = open_record(work.attempt.fold_folder)
        is_left = record is not None
        if record is None:
            if lack := self._start.wait_for_lock(work, progress):
                return lack
            record = self._start.prepare(work)
        try:
            record, look = self._start.bring(record, work, progress, is_left=is_left)
            if not (record.job_id is None or (look and look.is_over)):
                look = self._follow(record, work.folder, on_poll, progress)
                is_left = False
        except QueueRefusedError as error:
            problem = f"{self._queue.title} refuses the job: {error}"
            close_job(self._queue, record, work.folder, problem)
            return ChildResult(ExitCode.BAD_INPUT, problem, "")
        except ConfigError as error:
            # Without the cluster's commands here nothing was submitted, unless by an earlier supervisor.
            if not is_left and newest(record, work.folder).job_id is None:
                close_job(self._queue, record, work.folder, str(error))
            raise
        except BaseException:
            self._end.end(record, work.folder, progress)
            raise
        result = self._end.result(record, work.folder, look)
        close_job(self._queue, record, work.folder, result.problem or "It is done.")
        on_poll()
        if is_left and not _is_answer(result, record, work):
            progress.warn(f"A job of before ended while nobody supervised it: {result.problem}")
            return self.run(work, on_poll=on_poll, progress=progress)
        return result

    def _follow(
        self, record: JobRecord, own_folder: Path, on_poll: Callable[[], None], progress: Progress
    ) -> JobLook | None:
        """Waits for the end of a job; returns how the queue saw it, None: the job itself told its end."""
        folder, job_id = job_folder(own_folder, record.job), str(record.job_id)
        watch = QueueWatch(self._queue, job_id, record.submitted_at, progress, patience=self._patience, note=self._note)
        over: tuple[JobLook, float] | None = None
        is_told = False
        while not is_told:
            is_told = read_from_job(Ended, folder / ENDED_FILE) is not None
            if started := watch.started or read_from_job(Started, folder / STARTED_FILE):
                watch.tell_start(started)
                on_poll()
            else:
                progress.poll()
            if over is None and not is_told and (look := watch.look_if_due()) and look.is_over:
                over = look, time.monotonic()
            if over and not is_told and time.monotonic() - over[1] > self._patience.last_words:
                return over[0]
            time.sleep(0 if is_told else self._patience.poll)
        return None


def _is_answer(result: ChildResult, record: JobRecord, work: FoldWork) -> bool:
    """Says whether the end of a job that nobody saw is that of this start: it did its work, or would fail again.

    Who asks anew has perhaps mended what it failed by; a run that is tried again by itself has not.
    """
    is_same = record.asked_by is not None and record.asked_by == work.attempt.asked_by
    return result.problem is None or (is_same and failure_class(result.code) in PERMANENT)
