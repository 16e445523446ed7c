"""The lock of the one daemon: who holds it, and that nothing but its process does."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.project_folder.daemon_lock import LOCK, OWNER, UNKNOWN, held_command, lock_owner, starting

# What Dagster's daemon does: it starts processes that outlive it.
DAEMON = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, sys.argv[1:], flush=True)
sys.stdin.read()
"""


class Daemons:
    """Starts processes that want to be the daemon, and ends them with what they started."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / ".dagster"
        self.home.mkdir()
        (folder / "tiny_daemon.py").write_text(DAEMON)
        self._environment = {**os.environ, "PYTHONPATH": str(folder)}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            held_command(self.home, "nnunet-assets dev", "http://127.0.0.1:3000", "tiny_daemon", "run", "-p", "3000"),
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Daemons]:
    started = Daemons(tmp_path)
    yield started
    for process in started.processes:
        for left in psutil.process_iter():
            if left.pid != os.getpid() and os.getsid(left.pid) == process.pid:
                left.kill()
        process.communicate()


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()


def test_the_process_itself_holds_the_lock_and_not_what_it_starts(daemons: Daemons) -> None:
    assert lock_owner(daemons.home) is None
    daemon = daemons.start()
    child, arguments = first_line(daemon).split(maxsplit=1)

    owner = lock_owner(daemons.home)
    assert owner
    assert (owner.process, owner.command, owner.page) == (daemon.pid, "nnunet-assets dev", "http://127.0.0.1:3000")
    assert arguments == "['run', '-p', '3000']\n"

    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    assert psutil.pid_exists(int(child))
    assert lock_owner(daemons.home) is None
    assert first_line(daemons.start())


def test_of_two_at_the_same_moment_one_works(daemons: Daemons) -> None:
    both = [daemons.start() for _ in range(2)]

    lines = [first_line(process) for process in both]

    assert sorted(map(bool, lines)) == [False, True]
    winner, loser = sorted(both, key=lambda process: not lines[both.index(process)])
    assert lock_owner(daemons.home).process == winner.pid
    assert loser.wait(20) == 1
    assert "a daemon of this instance runs already" in loser.stderr.read()


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"process": "4"}', "\x00"])
def test_a_damaged_record_hides_no_daemon(daemons: Daemons, content: str) -> None:
    first_line(daemons.start())
    (daemons.home / OWNER).write_text(content)
    assert lock_owner(daemons.home) == UNKNOWN


def test_a_record_beside_a_free_lock_says_nothing(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    (tmp_path / OWNER).write_text("{}")
    assert lock_owner(tmp_path) is None


def test_who_starts_waits_for_another_start_and_then_says_so(tmp_path: Path) -> None:
    with (
        starting(tmp_path / "home", seconds=1),
        pytest.raises(NnunetAssetsError, match="has been starting servers for more than 0 s"),
        starting(tmp_path / "home", seconds=0),
    ):
        pass
    with starting(tmp_path / "home", seconds=0):
        pass
