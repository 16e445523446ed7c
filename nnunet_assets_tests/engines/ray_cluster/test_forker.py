"""Drivers that one process forks, on a Ray that is played: what they share, and that each ends alone."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_files import read_from_job
from nnunet_assets.engines.ray_cluster import forked as forked_module
from nnunet_assets.engines.ray_cluster.driver_files import ORDER_FILE, TOLD_FILE, RayOrder, RayTold
from nnunet_assets.engines.ray_cluster.forked import ForkedDriver, forked_driver

PLAYED_RAY = """
import os, sys
from types import SimpleNamespace
loaded_by, cancelled = os.getpid(), []
class TaskCancelledError(Exception): pass
def init(address, **_): print("RAY_WORD", os.environ["RAY_WORD"], "OTHER", os.environ["OTHER"], "at", os.getcwd())
def get_runtime_context(): return SimpleNamespace(get_job_id=lambda: f"{loaded_by}")
def nodes(): return []
def remote(**_): return lambda function: SimpleNamespace(remote=lambda *_: "ref")
def wait(refs, timeout): return (refs, []) if cancelled else ([], refs)
def cancel(ref, force): cancelled.append(ref)
def get(ref): raise TaskCancelledError()
"""


class Jobs:
    """Jobs whose drivers are forked, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.drivers = folder, list[ForkedDriver]()
        self.variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "modules"), "RAY_WORD": "one"}

    def start(self, name: str, *, supervisor: int | None = None, **variables: str) -> ForkedDriver:
        order = RayOrder(name, Resources(gpus=1, cpus=1), supervisor or os.getpid())
        (self.folder / name).mkdir()
        write_json_atomically(self.folder / name / ORDER_FILE, dataclass_to_json(order))
        self.drivers.append(
            forked_driver(self.folder / name, {"OTHER": name, **self.variables, **variables}),
        )
        return self.drivers[-1]

    def told(self, name: str) -> RayTold:
        return read_from_job(RayTold, self.folder / name / TOLD_FILE) or RayTold()


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    # Deeper than the name of a socket may be long.
    (deep := tmp_path / ("d" * 120)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    (tmp_path / "modules" / "ray").mkdir(parents=True)
    (tmp_path / "modules" / "ray" / "__init__.py").write_text(PLAYED_RAY)
    (tmp_path / "modules" / "ray" / "cloudpickle.py").write_text("def register_pickle_by_value(module): pass\n")
    found = Jobs(tmp_path)
    yield found
    for driver in found.drivers:
        if driver.connection.fileno() >= 0:
            driver.end(5)


def wait_for(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + 20
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_drivers_share_what_is_loaded_each_has_its_own_variables_and_ends_alone(jobs: Jobs, tmp_path: Path) -> None:
    first, second = jobs.start("a"), jobs.start("b")
    loaded_by = [int(wait_for(lambda: jobs.told("a").job_id)), int(wait_for(lambda: jobs.told("b").job_id))]
    assert loaded_by[0] == loaded_by[1] not in (first.pid, second.pid)
    forker = psutil.Process(loaded_by[0])
    assert forker.ppid() != os.getpid()  # nor is it ended with this process
    assert (tmp_path / "a" / "ray.log").read_text() == "RAY_WORD one OTHER a at /\n"
    assert (tmp_path / "b" / "ray.log").read_text() == "RAY_WORD one OTHER b at /\n"
    assert jobs.told("a").state == "HELD"
    second.say("release")
    wait_for(lambda: jobs.told("b").state == "PENDING")
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: first.has_ended)
    assert not second.has_ended
    second.end(10)
    assert jobs.told("b").state == "CANCELLED"
    wait_for(lambda: is_gone(second.pid))
    wait_for(lambda: is_gone(forker.pid))
    # What is left of it is no obstacle to the next.
    third = jobs.start("c")
    assert int(wait_for(lambda: jobs.told("c").job_id)) != forker.pid
    os.kill(int(jobs.told("c").job_id or 0), signal.SIGKILL)
    assert not third.has_ended  # which needs nobody any more


def test_a_ray_with_other_variables_of_its_own_is_loaded_anew(jobs: Jobs) -> None:
    jobs.start("a")
    jobs.start("b", RAY_WORD="two")
    assert wait_for(lambda: jobs.told("a").job_id) != wait_for(lambda: jobs.told("b").job_id)


def test_a_driver_ends_with_its_supervisor_though_another_process_holds_its_connection(jobs: Jobs) -> None:
    supervisor = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    driver = jobs.start("a", supervisor=supervisor.pid)
    wait_for(lambda: jobs.told("a").job_id)
    supervisor.kill()
    wait_for(lambda: driver.has_ended)
    supervisor.wait()


def test_one_that_does_not_end_by_itself_is_killed() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], stdin=theirs.fileno())
    driver = ForkedDriver(ours, process.pid)
    assert not driver.has_ended
    driver.end(0.1)
    assert process.wait(10) == -signal.SIGKILL


def test_a_ray_that_cannot_be_loaded_is_said_with_what_it_printed(jobs: Jobs, tmp_path: Path) -> None:
    (tmp_path / "modules" / "ray" / "__init__.py").write_text("raise ImportError('libray.so')\n")
    with pytest.raises(ChildProcessError, match="The process that forks Ray's drivers has ended"):
        jobs.start("a")
    assert "ImportError: libray.so" in (tmp_path / "a" / "ray.log").read_text()


def test_a_ray_that_takes_for_ever_to_be_loaded_is_not_waited_for(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules" / "ray" / "__init__.py").write_text("import time; time.sleep(2)\n" + PLAYED_RAY)
    monkeypatch.setattr(forked_module, "LOAD_SECONDS", 0.1)
    with pytest.raises(ChildProcessError, match="Ray is not imported within 0 s"):
        jobs.start("a")
