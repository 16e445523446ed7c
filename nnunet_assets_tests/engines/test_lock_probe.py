"""Locks are tried between two processes, and found out where they are each one's own.

One kernel cannot show a drive whose locks are each machine's own: the process here loads a stand-in for `flock` which
knows no other process, as such a drive knows no other machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest

from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines import lock_probe
from nnunet_assets.engines.job_queue import GONE, JobLook, JobOrder
from nnunet_assets.engines.job_script import job_script
from nnunet_assets.engines.lock_probe import LockProof, ProbeError, prove_locks
from nnunet_assets.processes.host_name import host_name

OWN_LOCKS = "import fcntl\nfcntl.flock = lambda *_: None\n"
NO_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
"""
OTHER_CLOCK = "import time\nnow = time.time\ntime.time = lambda: now() + 100\n"
OTHER_NAME = "import socket\nsocket.gethostname = lambda: 'node7'\n"


@dataclass
class Node:
    """A queue that starts a job's script at once, in a process whose Python begins with some lines of its own."""

    folder: Path
    begins: str = ""
    name, title, cancel_command = "slurm", "Slurm", "scancel"
    jobs: "dict[str, Popen[bytes]]" = field(default_factory=dict)
    orders: list[JobOrder] = field(default_factory=list)

    def submit(self, order: JobOrder) -> str:
        self.orders.append(order)
        (order.folder / "job.sh").write_text(job_script(order))
        (self.folder / "sitecustomize.py").write_text(self.begins)
        return "7"

    def release(self, job_id: str) -> None:
        folder = self.orders[-1].folder
        with (folder / "job.log").open("wb") as log:
            script = f"export PYTHONPATH={self.folder}; . {folder / 'job.sh'}"
            self.jobs[job_id] = Popen(["bash", "-c", script], stdin=DEVNULL, stdout=log, stderr=log)

    def find(self, name: str) -> str | None:
        return "7" if self.jobs else None

    def cancel_others(self, name: str, job_id: str) -> None:
        pass

    def look(self, job_id: str) -> JobLook:
        return JobLook("RUNNING" if self.jobs[job_id].poll() is None else GONE)

    def cancel(self, job_id: str) -> None:
        self.jobs[job_id].kill()
        self.jobs[job_id].wait()

    def forget(self, name: str) -> None:
        pass


Prove = Callable[..., LockProof]


@pytest.fixture
def prove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prove:
    monkeypatch.setattr(lock_probe, "LOOK_SECONDS", 0.2)
    (tmp_path / "site").mkdir()
    (tmp_path / "project").mkdir()

    def prove(begins: str = "", *, seconds: float = 60) -> LockProof:
        queue = Node(tmp_path / "site", begins)
        folders = [tmp_path / "project"]
        try:
            return prove_locks(folders, queue, Resources(gpus=0), {}, seconds=seconds, progress=SILENT)
        finally:
            assert all(job.poll() is not None for job in queue.jobs.values())
            assert list(folders[0].iterdir()) == []

    return prove


def test_locks_of_one_kernel_hold_and_its_clock_is_one(prove: Prove, tmp_path: Path) -> None:
    found = prove()
    assert (found.host, found.is_other_host, found.broken, found.without_locks) == (host_name(), False, (), ())
    assert abs(found.clock_seconds) <= found.clock_within + 0.01


def test_a_job_whose_locks_are_its_machine_s_own_is_found_out(prove: Prove, tmp_path: Path) -> None:
    found = prove(OWN_LOCKS + OTHER_NAME + OTHER_CLOCK)
    assert (found.host, found.is_other_host, found.broken) == ("node7", True, (tmp_path / "project",))
    assert found.clock_seconds == pytest.approx(100, abs=found.clock_within + 0.01)


@pytest.mark.faults
def test_a_file_system_without_locks_is_named_as_such(prove: Prove, tmp_path: Path) -> None:
    found = prove(NO_LOCKS)
    assert found.without_locks == (tmp_path / "project",)
    assert found.broken == ()


def test_a_job_that_cannot_try_them_says_what_it_printed_last(prove: Prove) -> None:
    with pytest.raises(ProbeError, match=r"Slurm's job 7 ended \(GONE\) before it tried the locks.*No module for you"):
        prove("import sys\nsys.exit('No module for you')\n")


@pytest.mark.faults
def test_a_job_that_does_not_come_is_given_up_and_ended(prove: Prove) -> None:
    with pytest.raises(ProbeError, match="No job tried the locks within 0 s"):
        prove("import time\ntime.sleep(60)\n", seconds=0.3)


@pytest.mark.faults
def test_a_process_of_this_machine_tries_them_where_there_is_no_cluster(tmp_path: Path) -> None:
    found = prove_locks([tmp_path], None, Resources(), {}, seconds=60, progress=SILENT)
    assert (found.is_other_host, found.broken, found.without_locks) == (False, (), ())
    assert list(tmp_path.iterdir()) == []
