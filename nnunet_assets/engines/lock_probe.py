"""Whether locks hold between this machine and one that the engine chooses, and whether both have the same time.

This machine holds a lock on each file system and asks the engine for a small job, which tries to take it; then the job
holds one that this machine tries. Between two machines of one network drive nothing else tells.
"""

import fcntl
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.kernel_lock import flock
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_files import ENVIRONMENT_FILE, JOB_LOG_FILE, read_from_job, write_for_job
from nnunet_assets.engines.job_queue import JobLook, JobOrder, JobQueue, QueueSilentError
from nnunet_assets.engines.job_script import environment_script
from nnunet_assets.engines.probe_process import (
    ANSWER_FILE,
    ASKED_FILE,
    PROBE_FILE,
    TRIED_FILE,
    Moment,
    Probe,
    Tried,
)
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.processes.interpreter import python_command, with_safe_imports

PROBE_MODULE = "nnunet_assets.engines.probe_process"
LOOK_SECONDS, POLL_SECONDS = 5.0, 0.1
_FOLDER = ".nnunet_assets_probe-"

_Found = TypeVar("_Found", Tried, Moment)


class ProbeError(NnunetAssetsError):
    """No job tried the locks."""


@dataclass(frozen=True)
class LockProof:
    """What was found of locks between two machines.

    Attributes:
        host: Where the job ran.
        is_other_host: Whether that is another machine than this one.
        broken: The folders in which one could take a lock that the other held.
        without_locks: The folders whose file system has none.
        clock_seconds: How far the clock there is ahead of this one's.
        clock_within: How exactly that is known, in seconds.
    """

    host: str
    is_other_host: bool
    broken: tuple[Path, ...]
    without_locks: tuple[Path, ...]
    clock_seconds: float
    clock_within: float


def prove_locks(
    folders: Sequence[Path],
    queue: JobQueue | None,
    resources: Resources,
    variables: Mapping[str, str],
    *,
    seconds: float,
    progress: Progress,
) -> LockProof:
    """Returns what a job found of the locks.

    Args:
        folders: One on each file system that is of interest; files that are removed again are made there.
        queue: Where the job is submitted; None: a process of this machine tries.
        resources: What the job gets.
        variables: Its environment.
        seconds: How long is waited for it.
        progress: Hears of the wait.

    Raises:
        ProbeError: The job did not come, or ended otherwise.
        NnunetAssetsError: As `JobQueue.submit`.
    """
    name = f"{_FOLDER}{uuid.uuid4().hex}"
    with ExitStack() as stack:
        places = [stack.enter_context(_made(folder / name)) for folder in folders]
        held, free = ([place / kind for place in places] for kind in ("held.lock", "free.lock"))
        without = []
        for path in (*held, *free):
            path.touch(mode=0o600)
        for path in held:
            try:
                flock(stack.enter_context(path.open("r+")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except NnunetAssetsError:
                without.append(path)
        own = places[0]
        write_for_job(own / PROBE_FILE, Probe(tuple(held), tuple(free)))
        write_atomically(own / ENVIRONMENT_FILE, environment_script(variables).encode(), is_private=True)
        begin = _as_child(own, variables) if queue is None else _as_job(queue, own, name, resources)
        is_over = stack.enter_context(begin)
        tried = _awaited(Tried, own / TRIED_FILE, is_over, seconds, progress)
        lacking = {path.parent for path in (*tried.without_locks, *without)}
        broken = {path.parent for path in (*tried.taken, *(path for path in free if _can_take(path)))} - lacking
        asked = time.time()
        write_for_job(own / ASKED_FILE, Moment(asked))
        there = _awaited(Moment, own / ANSWER_FILE, is_over, 60, progress).at
        now = time.time()
    return LockProof(
        host=tried.host,
        is_other_host=tried.host != host_name(),
        broken=tuple(sorted(place.parent for place in broken)),
        without_locks=tuple(sorted(place.parent for place in lacking)),
        clock_seconds=there - (asked + now) / 2,
        clock_within=(now - asked) / 2,
    )


IsOver = Callable[[], str | None]
"""Returns how a job ended; None: it goes on, as far as is known."""


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _can_take(path: Path) -> bool:
    with path.open("r+") as file, suppress(BlockingIOError):
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


@contextmanager
def _as_child(folder: Path, variables: Mapping[str, str]) -> Iterator[IsOver]:
    with (folder / JOB_LOG_FILE).open("wb") as log:
        child = subprocess.Popen(
            python_command("-u", "-m", PROBE_MODULE, str(folder)),
            env=with_safe_imports(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield lambda: None if child.poll() is None else f"its process ended with {child.returncode}"
    finally:
        child.kill()
        child.wait()


@contextmanager
def _as_job(queue: JobQueue, folder: Path, name: str, resources: Resources) -> Iterator[IsOver]:
    order = JobOrder(f"nnunet_assets{name.removeprefix('.nnunet_assets')}", folder, resources, PROBE_MODULE)
    job_id = queue.submit(order)
    next_look, last = time.monotonic() + LOOK_SECONDS, JobLook("PENDING")

    def is_over() -> str | None:
        nonlocal next_look, last
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + LOOK_SECONDS
            with suppress(QueueSilentError):
                last = queue.look(job_id)
        if not last.is_over:
            return None
        return f"{queue.title}'s job {job_id} ended ({last.state}{f': {last.said}' if last.said else ''})"

    try:
        queue.release(job_id)
        yield is_over
    finally:
        with suppress(QueueSilentError):
            queue.cancel(job_id)
        queue.forget(order.name)


def _awaited(kind: type[_Found], file: Path, is_over: IsOver, seconds: float, progress: Progress) -> _Found:
    until = time.monotonic() + seconds
    while True:
        # Before the look: a job that ends just now has written what it found.
        how = is_over()
        found = read_from_job(kind, file)
        if found is not None:
            return found
        if how:
            last = (file.parent / JOB_LOG_FILE).read_text(errors="replace").strip().splitlines()[-1:]
            printed = f"The last it printed was: {last[0] if last else 'nothing'}"
            raise ProbeError(f"{how} before it tried the locks. {printed}")
        if time.monotonic() > until:
            raise ProbeError(f"No job tried the locks within {seconds:.0f} s: the queue is long, or gives none.")
        progress.poll()
        time.sleep(POLL_SECONDS)
