"""An engine with a queue: the fold's process runs in a job, which outlives whoever supervises it.

What must hold whatever is killed when:

- The fold's record names the job before there is one, and the job cannot start before its id is on the disk.
- A fold has one job. Who finds one that lives follows it; who finds one that is over reads how it ended.
- Who is interrupted ends the job and waits until it is gone. Who is killed does not: the next one follows it.
- A queue that does not answer says nothing of the job. Only an answer, or the job's own files, end the waiting.
"""

import math
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nnunet_assets.core.files.atomic_files import append_whole, write_atomically
from nnunet_assets.core.files.json_file import readable_json, write_json_atomically
from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.files.layout import REQUEST_FILE, job_lock_of
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.engine import FoldWork
from nnunet_assets.engines.job_files import (
    ENDED_FILE,
    ENVIRONMENT_FILE,
    JOB_LOG_FILE,
    JOBS_FOLDER,
    STARTED_FILE,
    TASK_FILE,
    Ended,
    JobRecord,
    JobTask,
    Started,
    close_record,
    job_folder,
    mark_used,
    open_record,
    read_from_job,
    read_record,
    request_digest,
    write_for_job,
    write_record,
)
from nnunet_assets.engines.job_queue import JobLook, JobOrder, JobQueue, QueueRefusedError, QueueSilentError
from nnunet_assets.engines.job_script import environment_script
from nnunet_assets.engines.job_watch import Note, QueueWatch, ended_without_a_word
from nnunet_assets.engines.late_jobs import end_late_ones
from nnunet_assets.engines.patience import Patience, ask_until_answered, pause
from nnunet_assets.errors import ConfigError, DamagedFileError
from nnunet_assets.processes.child import LOG_FILE, ChildResult
from nnunet_assets.processes.exit_codes import ExitCode, FailureClass, failure_class
from nnunet_assets.processes.supervisor import CURES, PERMANENT, Cure

JOB_CURES: Mapping[FailureClass, Cure] = {**CURES, FailureClass.INTERRUPTED: "in a new job"}
"""A time limit, a lost node, a job that somebody else ended: none of them is a failure while epochs are saved."""


WHY_SECONDS = 3.0
"""A queue may hear of the end of a job a little later than the job's own files tell it."""

ASK_AGAIN_SECONDS = 10.0
"""A request to end a job may be lost."""

_T = TypeVar("_T")


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
            if lack := self._wait_for_lock(work, progress):
                return lack
            record = self._prepare(work)
        try:
            record, look = self._bring_to_start(record, work, progress, is_left=is_left)
            if not (record.job_id is None or (look and look.is_over)):
                look = self._follow(record, work.folder, on_poll, progress)
                is_left = False
        except QueueRefusedError as error:
            problem = f"{self._queue.title} refuses the job: {error}"
            self._close(record, work.folder, problem)
            return ChildResult(ExitCode.BAD_INPUT, problem, "")
        except ConfigError as error:
            # Without the cluster's commands here nothing was submitted, unless by an earlier supervisor.
            if not is_left and _newest(record, work.folder).job_id is None:
                self._close(record, work.folder, str(error))
            raise
        except BaseException:
            self._end(record, work.folder, progress)
            raise
        result = self._result(record, work.folder, look)
        self._close(record, work.folder, result.problem or "It is done.")
        on_poll()
        if is_left and not _is_answer(result, record, work):
            progress.warn(f"A job of before ended while nobody supervised it: {result.problem}")
            return self.run(work, on_poll=on_poll, progress=progress)
        return result

    # --- before it runs -------------------------------------------------------------------------------------------

    def _wait_for_lock(self, work: FoldWork, progress: Progress) -> ChildResult | None:
        """Waits until no job of before holds the fold; returns how that failed, None: it did not.

        A machine that the cluster gave up for lost may go on training.
        """
        lock, until = job_lock_of(work.attempt.fold_folder), time.monotonic() + self._patience.lock
        is_told = False
        while is_owned(lock):
            if not is_told:
                progress.warn("A job of before still holds the fold, as on a machine that was lost. It is waited for.")
            is_told = True
            if time.monotonic() > until:
                problem = f"A job of before still holds {lock}. Find out where it runs, and end it there."
                return ChildResult(ExitCode.OWNED, problem, "")
            pause(progress, self._patience.poll, self._patience.poll)
        return None

    def _prepare(self, work: FoldWork) -> JobRecord:
        """Writes all that the job reads, and the record of it, before there is a job."""
        attempt = work.attempt
        record = JobRecord(
            engine=self.name,
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
                self.name, work.module, attempt, work.n_halvings, record.submitted_at, lock, resources=self.resources
            ),
        )
        environment = environment_script(work.environment)
        write_atomically(folder / ENVIRONMENT_FILE, environment.encode(), is_private=True)
        mark_used(work.environment, folder)
        # By this a later run knows what was begun.
        write_json_atomically(work.folder / REQUEST_FILE, dataclass_to_json(attempt))
        write_record(work.folder, record)
        return record

    def _bring_to_start(
        self, record: JobRecord, work: FoldWork, progress: Progress, *, is_left: bool
    ) -> tuple[JobRecord, JobLook | None]:
        """Makes the job one that has an id on the disk and may start.

        Returns:
            The record, without an id where an earlier supervisor was killed before it asked for one; and how the job
            is that an earlier supervisor left.
        """
        order = JobOrder(record.name, job_folder(work.folder, record.job), self.resources)
        if record.job_id is None:
            if is_left and self._ask(lambda: self._queue.find(record.name) or "", progress) == "":
                return record, None
            job_id = self._ask(lambda: self._queue.find(record.name) or self._queue.submit(order), progress)
            record = replace(record, job_id=job_id)
            write_record(work.folder, record)
        job_id = str(record.job_id)
        end_late_ones(self._queue, record)
        look = self._ask(lambda: self._queue.look(job_id), progress) if is_left else None
        has_started = (order.folder / STARTED_FILE).exists()
        if not has_started and not (look and look.is_over):
            self._ask(lambda: self._queue.release(job_id), progress)
        if not is_left:
            progress.say(f"{self._queue.title} has the job {job_id} (its files: {order.folder}).")
        elif look and not look.is_over:
            state = f"it runs on {look.node}" if look.node else f"it is {look.state}"
            progress.warn(f"The job {job_id}, which an earlier run submitted, goes on ({state}) and is followed.")
        return record, look

    def _ask(self, question: Callable[[], _T], progress: Progress) -> _T:
        silence = f"{self._queue.title} does not answer and is asked again until it does."
        return ask_until_answered(question, progress, silence, self._patience.first_look, self._patience.poll)

    # --- while it runs --------------------------------------------------------------------------------------------

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

    def _result(self, record: JobRecord, own_folder: Path, look: JobLook | None) -> ChildResult:
        """Returns how a job ended, and adds what it printed to what the fold printed so far."""
        folder = job_folder(own_folder, record.job)
        printed = b"".join(
            (folder / name).read_bytes() for name in (JOB_LOG_FILE, LOG_FILE) if (folder / name).exists()
        )
        if printed:
            append_whole(own_folder / LOG_FILE, printed)
        tail = redacted(printed[-4000:].decode(errors="replace"))
        ended = read_from_job(Ended, folder / ENDED_FILE)
        if ended and ended.code == ExitCode.STOPPED and look is None:
            look = self._last_look(str(record.job_id))
        if ended and not (look and look.state == "OUT_OF_MEMORY"):
            return ChildResult(ended.code, ended.problem, tail)
        told = str(readable_json(folder / "failure.json").get("message", ""))
        seen = look or JobLook("GONE")
        return ChildResult(*ended_without_a_word(self._queue.title, str(record.job_id), seen, told, tail), tail)

    def _last_look(self, job_id: str) -> JobLook | None:
        """Returns how the queue sees a job that was ended, which is not told why; None: it does not say."""
        until = time.monotonic() + min(WHY_SECONDS, self._patience.last_words)
        with suppress(QueueSilentError):
            while not (look := self._queue.look(job_id)).is_over and time.monotonic() < until:
                time.sleep(self._patience.poll)
            return look
        return None

    # --- its end --------------------------------------------------------------------------------------------------

    def _end(self, record: JobRecord, own_folder: Path, progress: Progress) -> None:
        """Ends a job and waits until it is gone; what interrupts this leaves it to the next supervisor."""
        record, lock = _newest(record, own_folder), job_lock_of(own_folder.parent)
        began, asked_at, silence = time.monotonic(), -math.inf, ""
        while (now := time.monotonic()) < began + self._patience.end:
            try:
                job_id = record.job_id or self._queue.find(record.name)
                if job_id is None:
                    break
                if now > asked_at + ASK_AGAIN_SECONDS:
                    self._queue.cancel(job_id)
                    asked_at = now
                # What the cluster calls over may still hold a GPU, on a node that it lost.
                if self._queue.look(job_id).is_over and not is_owned(lock):
                    break
            except QueueSilentError as error:
                silence = f" {error}"
            time.sleep(self._patience.poll)
        else:
            progress.warn(
                f"The job {record.job_id or record.name} was asked to end and is not gone after "
                f"{self._patience.end:.0f} s.{silence} The next run of the fold follows it."
            )
            self._queue.forget(record.name)
            return
        self._close(record, own_folder, "It was ended with the run that supervised it.")

    def _close(self, record: JobRecord, own_folder: Path, how: str) -> None:
        newest = _newest(record, own_folder)
        end_late_ones(self._queue, newest)
        self._queue.forget(record.name)
        if own_folder.is_dir():
            close_record(own_folder, newest, how)


def _is_answer(result: ChildResult, record: JobRecord, work: FoldWork) -> bool:
    """Says whether the end of a job that nobody saw is that of this start: it did its work, or would fail again.

    Who asks anew has perhaps mended what it failed by; a run that is tried again by itself has not.
    """
    is_same = record.asked_by is not None and record.asked_by == work.attempt.asked_by
    return result.problem is None or (is_same and failure_class(result.code) in PERMANENT)


def _newest(record: JobRecord, own_folder: Path) -> JobRecord:
    """Returns the record as it is on the disk, which may have the job's id already."""
    with suppress(DamagedFileError, OSError):
        found = read_record(own_folder.parent)
        if found and found.job == record.job:
            return found
    return record
