"""How a job of a fold comes to its end: what that says, how one is ended, and the note that it is over."""

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.atomic_files import append_whole
from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.files.layout import job_lock_of
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.engines.job_files import (
    ENDED_FILE,
    JOB_LOG_FILE,
    Ended,
    JobRecord,
    close_record,
    job_folder,
    read_from_job,
    read_record,
)
from nnunet_assets.engines.job_queue import JobLook, JobQueue, QueueSilentError
from nnunet_assets.engines.job_watch import ended_without_a_word
from nnunet_assets.engines.patience import Patience
from nnunet_assets.errors import ConfigError, DamagedFileError
from nnunet_assets.processes.child import LOG_FILE, ChildResult
from nnunet_assets.processes.exit_codes import ExitCode

WHY_SECONDS = 3.0
"""A queue may hear of the end of a job a little later than the job's own files tell it."""

ASK_AGAIN_SECONDS = 10.0
"""A request to end a job may be lost."""


@dataclass(frozen=True)
class JobEnd:
    """Ends jobs, and reads how they ended.

    Attributes:
        queue: The cluster's.
        patience: How long is waited.
    """

    queue: JobQueue
    patience: Patience

    def result(self, record: JobRecord, own_folder: Path, look: JobLook | None) -> ChildResult:
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
        return ChildResult(*ended_without_a_word(self.queue.title, str(record.job_id), seen, told, tail), tail)

    def _last_look(self, job_id: str) -> JobLook | None:
        """Returns how the queue sees a job that was ended, which is not told why; None: it does not say."""
        until = time.monotonic() + min(WHY_SECONDS, self.patience.last_words)
        with suppress(QueueSilentError):
            while not (look := self.queue.look(job_id)).is_over and time.monotonic() < until:
                time.sleep(self.patience.poll)
            return look
        return None

    def end(self, record: JobRecord, own_folder: Path, progress: Progress) -> None:
        """Ends a job and waits until it is gone; what interrupts this leaves it to the next supervisor."""
        record, lock = newest(record, own_folder), job_lock_of(own_folder.parent)
        began, asked_at, silence = time.monotonic(), -math.inf, ""
        while (now := time.monotonic()) < began + self.patience.end:
            try:
                job_id = record.job_id or self.queue.find(record.name)
                if job_id is None:
                    break
                if now > asked_at + ASK_AGAIN_SECONDS:
                    self.queue.cancel(job_id)
                    asked_at = now
                # What the cluster calls over may still hold a GPU, on a node that it lost.
                if self.queue.look(job_id).is_over and not is_owned(lock):
                    break
            except QueueSilentError as error:
                silence = f" {error}"
            time.sleep(self.patience.poll)
        else:
            progress.warn(
                f"The job {record.job_id or record.name} was asked to end and is not gone after "
                f"{self.patience.end:.0f} s.{silence} The next run of the fold follows it."
            )
            self.queue.forget(record.name)
            return
        close_job(self.queue, record, own_folder, "It was ended with the run that supervised it.")


def close_job(queue: JobQueue, record: JobRecord, own_folder: Path, how: str) -> None:
    """Notes that a job is over, and lets go of what is left of it.

    Args:
        queue: The cluster's.
        record: The job.
        own_folder: The fold's hidden folder.
        how: It ended, in a sentence.
    """
    found = newest(record, own_folder)
    end_late_ones(queue, found)
    queue.forget(record.name)
    if own_folder.is_dir():
        close_record(own_folder, found, how)


def end_late_ones(queue: JobQueue, record: JobRecord) -> None:
    """Ends the jobs of the record's name that are not the record's.

    Asked for when the job has its id, and once more at its end, since the queue may take one late. A queue that does
    not answer is let be: what stays is held, and costs nobody anything.
    """
    if record.job_id is not None:
        with suppress(QueueSilentError, ConfigError):
            queue.cancel_others(record.name, record.job_id)


def newest(record: JobRecord, own_folder: Path) -> JobRecord:
    """Returns the record as it is on the disk, which may have the job's id already."""
    with suppress(DamagedFileError, OSError):
        found = read_record(own_folder.parent)
        if found and found.job == record.job:
            return found
    return record
