"""What a job runs that tries locks: `python -m nnunet_assets.engines.probe_process FOLDER`; see `lock_probe`.

Locks that are each machine's own let it take what another machine holds. Then two machines train one fold, and one
throws away what the other reads. No look at a mount's options tells that for sure: it is tried.
"""

import fcntl
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.kernel_lock import flock
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.engines.job_files import read_from_job, write_for_job
from nnunet_assets.errors import LockingError
from nnunet_assets.processes.host_name import host_name

PROBE_FILE, TRIED_FILE, ASKED_FILE, ANSWER_FILE = "probe.json", "tried.json", "asked.json", "answer.json"

ANSWER_SECONDS = 120.0
"""How long the job waits for who asked for it."""


@dataclass(frozen=True)
class Probe:
    """What is to be tried.

    Attributes:
        held: Files whose locks are held by who asks.
        free: As many files beside them, whose locks the job is to hold.
    """

    held: tuple[Path, ...]
    free: tuple[Path, ...]


@dataclass(frozen=True)
class Tried:
    """What the job found.

    Attributes:
        host: Where it runs.
        taken: Those of the held locks that it could take all the same.
        without_locks: Those whose file system has none.
    """

    host: str
    taken: tuple[Path, ...]
    without_locks: tuple[Path, ...]


@dataclass(frozen=True)
class Moment:
    """A moment by a machine's clock, in seconds since 1970."""

    at: float


def main(folder: Path) -> None:
    """Tries the locks, holds its own, and answers with the time when it is asked for it."""
    probe = dataclass_from_json(Probe, (folder / PROBE_FILE).read_bytes())
    with ExitStack() as stack:
        taken, without = [], []
        for path in probe.held:
            try:
                flock(stack.enter_context(path.open("r+")), fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken.append(path)
            except BlockingIOError:
                continue
            except LockingError:
                without.append(path)
        for path in probe.free:
            try:
                flock(stack.enter_context(path.open("r+")), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except LockingError:
                continue  # told of the other one already
        write_for_job(folder / TRIED_FILE, Tried(host_name(), tuple(taken), tuple(without)))
        until = time.monotonic() + ANSWER_SECONDS
        while read_from_job(Moment, folder / ASKED_FILE) is None and time.monotonic() < until:
            time.sleep(0.05)
        write_for_job(folder / ANSWER_FILE, Moment(time.time()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
