"""What a job runs, on the machine that the cluster chose: `python -m nnunet_assets.engines.job_process FOLDER`.

It is a supervisor without a torch of its own: it holds the fold's second lock, settles what depends on this machine
(workers, the place where ranks meet), runs the fold's process as a child, and leaves how that ended in the folder. The
lock is the child's too, so that it is held for as long as anything of the job lives.
"""

import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from nnunet_assets.core.files.json_file import JsonError
from nnunet_assets.core.files.kernel_lock import flock
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.engines.job_files import (
    ENDED_FILE,
    ID_VARIABLE,
    NODE_VARIABLE,
    PARENT_VARIABLE,
    READ_LOCKS_FILE,
    STARTED_FILE,
    TASK_FILE,
    TASK_VARIABLE,
    Ended,
    JobTask,
    Started,
    described,
    read_record,
    write_for_job,
)
from nnunet_assets.engines.local import meeting_folder
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.child import LEAVE_FILE, die_with_parent, run_child
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine.fold_samples import SystemSampler
from nnunet_assets.processes.variables import FOLDERS
from nnunet_assets.processes.workers import usable_cpus, worker_variables

LOCK_SECONDS = 60.0
"""How long a job of before, which is just ending, may hold the fold."""

STOPPED = "The job was ended (SIGTERM): by its time limit, its cluster, or whoever cancelled it."


class _Stopped(BaseException):
    """Leaves `run_child`, which ends the child on its way out."""


def main(folder: Path) -> NoReturn:
    """Runs the fold's process to its end, and ends with its exit code."""
    _stop_on_signals(folder)
    try:
        if parent := os.environ.get(PARENT_VARIABLE):
            die_with_parent(int(parent))
        ended = _run(folder)
    except _Stopped:
        ended = Ended(ExitCode.STOPPED, STOPPED)
    except NnunetAssetsError as error:
        ended = Ended(ExitCode.BAD_INPUT, str(error))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if ended.problem:
        print(ended.problem, flush=True)
    with suppress(OSError):  # a full disk: the exit code still says it
        write_for_job(folder / ENDED_FILE, ended)
    sys.exit(ended.code if ended.code >= 0 else 128 - ended.code)


def _run(folder: Path) -> Ended:
    try:
        task = dataclass_from_json(JobTask, (folder / TASK_FILE).read_bytes())
    except JsonError as error:
        problem = f"{folder / TASK_FILE} is not what this version of nnunet_assets writes ({error}). {sys.executable}"
        return Ended(ExitCode.BAD_INPUT, problem)
    # Slurm's name of the machine: several may share a host's. A Ray may have been started in a job of Slurm.
    node = os.environ.get(NODE_VARIABLE) or os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    with _lock(task.lock) as handle:
        record = read_record(task.attempt.fold_folder)
        if handle is None or record is None or record.job != folder.name:
            return Ended(ExitCode.OWNED, f"Another job holds the fold, or is its newest one ({task.lock}).")
        write_for_job(folder / STARTED_FILE, Started(node, time.time()))
        n_gpus = task.attempt.options.num_gpus
        sampler = SystemSampler(task.attempt.fold_folder, n_gpus if task.resources.gpus else 0)
        with meeting_folder(n_gpus) as place, _reading(os.environ.get(PREPROCESSED)), sampler:
            result = run_child(
                task.module,
                _attempt(task, node, Path(place) if place else None),
                folder=folder,
                environment={**os.environ, **machine_variables(os.environ, task, n_gpus)},
                pass_fds=[handle],
            )
    return Ended(result.code, result.problem)


def _attempt(task: JobTask, node: str, place: Path | None) -> FoldAttempt:
    queued = max(0.0, time.time() - task.submitted_at)
    job_id = os.environ.get(ID_VARIABLE) or os.environ.get("SLURM_JOB_ID", "unknown")
    return replace(
        task.attempt,
        waited_seconds=task.attempt.waited_seconds + queued,
        meeting_folder=place,
        job=described(task, job_id, node, os.environ.get(TASK_VARIABLE)),
    )


def machine_variables(variables: Mapping[str, str], task: JobTask, n_gpus: int) -> dict[str, str]:
    """Returns how many workers and threads the fold's process may start of what the job was given.

    Args:
        variables: The job's environment, in which the cluster says what it gave.
        task: What the job is asked.
        n_gpus: On how many GPUs the fold trains together.
    """
    given = [int(text) for name in CPU_VARIABLES if (text := variables.get(name, "")).isdecimal()]
    if task.engine == "ray":  # it counts what was asked for, and tells a task nothing of it
        given = [task.resources.cpus or 1]
    n_cpus = min([*given[:1], usable_cpus()])
    workers = worker_variables(variables, n_cpus, n_sharing=n_gpus, n_halvings=task.n_halvings)
    is_on_cpu = not task.resources.gpus and not variables.get("OMP_NUM_THREADS")
    return {**workers, **({"OMP_NUM_THREADS": str(max(1, n_cpus))} if is_on_cpu else {})}


PREPROCESSED = FOLDERS[1]

CPU_VARIABLES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""Where Slurm says how many processors the job has, the first of them that is set."""


@contextmanager
def _lock(path: Path) -> Iterator[int | None]:
    """Yields the open file whose lock this job holds; None: another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + LOCK_SECONDS
    with path.open("a") as file:
        while True:
            try:
                flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    yield None
                    return
                time.sleep(0.5)
                continue
            yield file.fileno()
            return


@contextmanager
def _reading(bound: str | None) -> Iterator[None]:
    """Keeps what the job reads from being removed, as its supervisor does for as long as that lives.

    Args:
        bound: The fold's own `nnUNet_preprocessed`.
    """
    with ExitStack() as stack:
        with suppress(FileNotFoundError):  # an older version bound them
            for path in (Path(bound or "") / READ_LOCKS_FILE).read_text().splitlines():
                with suppress(FileNotFoundError, BlockingIOError):  # being removed: the fold's process says what lacks
                    flock(stack.enter_context(Path(path).open("r+")), fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


def _stop_on_signals(folder: Path) -> None:
    def stop(*_: object) -> NoReturn:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    def leave(*_: object) -> None:
        with suppress(OSError):
            (folder / LEAVE_FILE).touch()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    signal.signal(signal.SIGUSR1, leave)
    # `ray start` blocks SIGINT for all that it starts, and what is blocked is so for their children too.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
