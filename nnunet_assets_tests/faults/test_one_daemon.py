"""Two daemons for one project, with real servers: the second is refused, and what was killed keeps nobody out."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from nnunet_assets.cli.project.init import init_project
from nnunet_assets.project_folder.daemon_lock import lock_owner
from nnunet_assets_tests.dagster_dev import dagster_dev, free_port
from nnunet_assets_tests.faults.devs import Devs, family
from nnunet_assets_tests.served_project import ServedProject, wait_until

pytestmark = pytest.mark.faults


@pytest.fixture
def devs(tmp_path: Path) -> Iterator[Devs]:
    devs = Devs(init_project(tmp_path / "project"))
    yield devs
    devs.end()


def test_of_two_devs_at_the_same_moment_one_is_refused_and_names_the_other(devs: Devs) -> None:
    both = [devs.start(), devs.start()]
    loser = wait_until(lambda: next((dev for dev in both if dev.poll() is not None), None), 240)
    (winner,) = [dev for dev in both if dev is not loser]
    wait_until(lambda: devs.is_up(winner), 120)

    said = devs.log(both.index(loser)).read_text()
    owner = lock_owner(devs.folder / ".dagster")
    assert loser.returncode == 1
    assert f"Process {owner.process} (`nnunet-assets dev`, since " in said
    assert "and two of them would start each run twice." in said
    assert f"End it: Ctrl-C in its terminal, or: kill -INT {owner.process}" in said
    assert len(_daemons(devs.folder)) == 1


def test_a_dev_that_was_killed_with_all_it_started_keeps_nobody_out(devs: Devs) -> None:
    first = devs.start()
    wait_until(lambda: devs.is_up(first), 240)
    for process in family(first.pid):
        process.kill()
    assert (devs.folder / ".dagster" / "daemon.owner.json").exists()

    second = devs.start()
    wait_until(lambda: devs.is_up(second), 240)

    assert lock_owner(devs.folder / ".dagster").process in [process.pid for process in family(second.pid)]


def test_a_daemon_whose_dev_was_killed_alone_is_ended_with_it(devs: Devs) -> None:
    first = devs.start()
    wait_until(lambda: devs.is_up(first), 240)
    started = family(first.pid)
    owner = lock_owner(devs.folder / ".dagster")
    psutil.Process(owner.process).kill()

    assert first.wait(90) == 1
    assert psutil.wait_procs([one for one in started if _is_server(one)], 60)[1] == []
    assert lock_owner(devs.folder / ".dagster") is None


def test_up_beside_a_users_own_dagster_dev_is_refused_and_names_it(tmp_path: Path) -> None:
    project = ServedProject(init_project(tmp_path / "project"), free_port(), free_port())
    with dagster_dev(project.folder):
        wait_until(lambda: _daemons(project.folder), 120)
        time.sleep(1)
        done = project.command("up", str(project.folder), "--port", str(project.port))

    assert done.returncode == 1
    assert "(`dagster dev`, since " in done.stderr or "(`dagster-daemon run`, since " in done.stderr
    assert project.processes() == {}


def test_two_projects_have_a_daemon_each(devs: Devs, tmp_path: Path) -> None:
    other = Devs(init_project(tmp_path / "other" / "project"))
    both = [devs.start(), other.start()]
    try:
        wait_until(lambda: devs.is_up(both[0]), 240)
        wait_until(lambda: other.is_up(both[1]), 240)
        assert [len(_daemons(one.folder)) for one in (devs, other)] == [1, 1]
    finally:
        both[1].send_signal(signal.SIGINT)
        both[1].wait(90)
    assert json.loads((other.folder / ".dagster" / "daemon.owner.json").read_text())["command"] == "nnunet-assets dev"


def _is_server(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool({"dagster_webserver", "dagster._daemon", "mlflow"} & set(process.cmdline()))
    return False


def _daemons(folder: Path) -> list[psutil.Process]:
    """Returns the processes of Dagster's daemon that work on a project's instance."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_daemon = "dagster._daemon" in process.cmdline() and "run" in process.cmdline()
            if is_daemon and process.environ().get("DAGSTER_HOME") == str(folder / ".dagster"):
                found.append(process)
    return found
