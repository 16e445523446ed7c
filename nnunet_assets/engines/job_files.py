"""What lies on the disk of a fold's jobs: which one is the fold's, what each was asked, and how each ended.

In the fold's hidden folder: `job.json`, the fold's newest job, written before the job may start; and for each job a
folder `jobs/ID/`, which only its user may read, since paths by fold would be shared by a job and the one after it:

    task.json          what the job is asked
    environment.sh     the variables of the fold's process; removed when the job is known to be over
    job.sh, job.log    what the cluster runs, and what that prints
    ray_order.json, ray.json, ray.log
                       of Ray's driver, where Ray runs it
    request.json, output.log, failure.json
                       of the fold's process, as anywhere
    started.json       written by the job: on which machine it runs
    LEAVE              written by the job: its time is nearly over
    ended.json         written by the job, last of all: how the process ended
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import JsonError, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.files.typed_json import Dataclass, T, dataclass_from_json, dataclass_to_json
from nnunet_assets.core.fold.fold_request import FoldAttempt, FoldRequest
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.errors import DamagedFileError

RECORD_FILE, JOBS_FOLDER = "job.json", "jobs"
TASK_FILE, STARTED_FILE, ENDED_FILE = "task.json", "started.json", "ended.json"
ENVIRONMENT_FILE, SCRIPT_FILE, JOB_LOG_FILE = "environment.sh", "job.sh", "job.log"

PARENT_VARIABLE, ID_VARIABLE = "NNUNET_ASSETS_JOB_PARENT", "NNUNET_ASSETS_JOB_ID"
NODE_VARIABLE, TASK_VARIABLE = "NNUNET_ASSETS_JOB_NODE", "NNUNET_ASSETS_JOB_TASK"
"""What a job is told by who starts its script, where the cluster itself tells it nothing in variables of its own."""

USED_FILE = "used_by_job"
"""In a fold's own `nnUNet_preprocessed`: the folder of the job that reads it, whoever supervises that."""


READ_LOCKS_FILE = "read_locks"
"""Beside that: the files, one a line, whose locks keep what is read there from being removed; they may be shared."""


@dataclass(frozen=True)
class JobRecord:
    """The newest job of a fold.

    Attributes:
        engine: `slurm` or `ray`.
        job: Names the job's folder, and stands in its name, by which it is found before its id is known.
        job_id: The cluster's; None: it was about to be asked for one.
        request: Digest of what is asked, whoever asks, see `request_digest`.
        asked_by: As in `FoldRequest`.
        submitted_at: Seconds since 1970.
        ended: How it ended, in a sentence; None: as far as is known it goes on.
    """

    engine: str
    job: str
    job_id: str | None
    request: str
    asked_by: str | None
    submitted_at: float
    ended: str | None = None

    @property
    def name(self) -> str:
        """What the cluster calls the job."""
        return f"nnunet_assets-{self.job}"


@dataclass(frozen=True)
class JobTask:
    """What a job is asked.

    Attributes:
        engine: `slurm` or `ray`.
        module: As in `FoldWork`.
        attempt: What the fold's process gets, but for what shows itself on the machine.
        n_halvings: As in `FoldWork`.
        submitted_at: As in `JobRecord`.
        lock: The file whose lock the job holds.
        resources: What was asked for.
    """

    engine: str
    module: str
    attempt: FoldAttempt
    n_halvings: int
    submitted_at: float
    lock: Path
    resources: Resources


@dataclass(frozen=True)
class Started:
    """Where a job runs.

    Attributes:
        node: The machine's name, as the cluster has it.
        at: Seconds since 1970.
    """

    node: str
    at: float


@dataclass(frozen=True)
class Ended:
    """How the process of a job ended; see `ChildResult`.

    Attributes:
        code: Its exit code; negative: the signal that ended it.
        problem: What went wrong, in a full sentence; None where the code is 0.
    """

    code: int
    problem: str | None


def request_digest(request: FoldRequest) -> str:
    """Returns the digest of what is asked of a fold, whoever asks for it."""
    plain = FoldRequest(**{name: getattr(request, name) for name in FoldRequest.__dataclass_fields__})
    content = dataclass_to_json(plain)
    who = ("dagster_run_id", "asked_by", "despite_changes")
    return json_sha256({name: value for name, value in content.items() if name not in who})


def job_folder(own_folder: Path, job: str) -> Path:
    """Returns the folder of a job, below a fold's hidden folder."""
    return own_folder / JOBS_FOLDER / job


def read_record(fold_folder: Path) -> JobRecord | None:
    """Returns the fold's newest job; None: there never was one.

    Raises:
        DamagedFileError: What is there cannot be read, so that nobody can tell.
    """
    file = fold_folder / OWN_FOLDER / RECORD_FILE
    try:
        return dataclass_from_json(JobRecord, file.read_bytes())
    except FileNotFoundError:
        return None
    except JsonError as error:
        raise DamagedFileError(
            f"{file} does not say which job trains the fold ({error}). Look for one (`squeue --me`), end it, and "
            "delete the file."
        ) from error


def open_record(fold_folder: Path) -> JobRecord | None:
    """Returns the fold's newest job where it goes on, as far as the disk knows.

    Raises:
        DamagedFileError: As `read_record`.
    """
    record = read_record(fold_folder)
    return record if record and record.ended is None else None


def write_record(own_folder: Path, record: JobRecord) -> None:
    """Writes the fold's newest job in place of the one before, onto the disk."""
    write_json_atomically(own_folder / RECORD_FILE, dataclass_to_json(record))


def close_record(own_folder: Path, record: JobRecord, how: str) -> None:
    """Notes that a job is over; nothing of it is needed any more but what it told."""
    with suppress(OSError):
        (job_folder(own_folder, record.job) / ENVIRONMENT_FILE).unlink(missing_ok=True)
    write_record(own_folder, replace(record, ended=how))


def read_from_job(kind: type[T], file: Path) -> T | None:
    """Returns what a job wrote; None: it did not, or it cannot be read now."""
    try:
        # A folder that was listed is asked of its server anew, a file that was not there just now perhaps not.
        if file.name not in {path.name for path in file.parent.iterdir()}:
            return None
        return dataclass_from_json(kind, file.read_bytes())
    except (OSError, JsonError):
        return None


def write_for_job(file: Path, value: Dataclass) -> None:
    """Writes what the other side reads, whole or not at all."""
    write_json_atomically(file, dataclass_to_json(value))


def mark_used(environment: Mapping[str, str], folder: Path) -> None:
    """Notes beside the inputs that are bound for a fold which job reads them.

    Args:
        environment: Of the fold's process, which says where they lie.
        folder: The job's.
    """
    bound = environment.get("nnUNet_preprocessed")
    if bound and Path(bound).is_dir():
        (Path(bound) / USED_FILE).write_text(str(folder))


def is_used_by_job(bound: Path) -> bool:
    """Says whether a job may still read the inputs that were bound for a fold, whose supervisor may be gone.

    Args:
        bound: The fold's own `nnUNet_preprocessed`.
    """
    with suppress(OSError):
        folder = Path((bound / USED_FILE).read_text())
        return (folder / ENVIRONMENT_FILE).exists() and not (folder / ENDED_FILE).exists()
    return False


def described(task: JobTask, job_id: str, node: str, cluster_task: str | None = None) -> dict[str, Any]:
    """Returns what is told of a job in the manifest and in MLflow.

    Args:
        task: What it is asked.
        job_id: The cluster's id of it.
        node: Where it runs.
        cluster_task: The cluster's id of the task in it; None: it knows none.
    """
    asked = dataclass_to_json(task.resources)
    requested = {name: value for name, value in asked.items() if value not in (None, [], {})}
    found = {"engine": task.engine, "id": job_id, "node": node, "requested": requested}
    return {**found, "task": cluster_task} if cluster_task else found
