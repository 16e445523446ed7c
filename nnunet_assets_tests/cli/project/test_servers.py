"""`up` and `down` on the real servers; and that what they started for the user outlives them."""

import os
import re
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from nnunet_assets.cli.project.init import init_project
from nnunet_assets_tests.dagster_dev import DagsterDev, free_port
from nnunet_assets_tests.served_project import ServedProject, wait_until

SLEEPS = """
import os
import time
from pathlib import Path

import dagster as dg

# A fold in miniature: it begins, takes its time, and leaves something behind.
@dg.asset
def slow_fold() -> None:
    folder = Path(os.environ["NNUNET_ASSETS_PROJECT"])
    (folder / "began").write_text(str(os.getpid()))
    for _ in range(1500):
        if (folder / "go_on").exists():
            break
        time.sleep(0.2)
    (folder / "ended").touch()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProject]:
    folder = init_project(tmp_path_factory.mktemp("servers") / "project")
    (folder / "experiments" / "slow").mkdir()
    (folder / "experiments" / "slow" / "assets.py").write_text(dedent(SLEEPS))
    project = ServedProject(folder, free_port(), free_port())
    yield project
    project.down()


@pytest.fixture
def dagster(project: ServedProject) -> DagsterDev:
    """The web UI of the project, which is up; where a test before left it up, this takes no time."""
    project.up()
    return DagsterDev(f"http://127.0.0.1:{project.port}", project.folder / "run" / "webserver.log")


def answer(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        return str(response.read().decode())


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def hears(process: psutil.Process, number: signal.Signals) -> bool:
    """Tells whether a process does not ignore a signal, as Linux says."""
    (mask,) = re.findall(r"^SigIgn:\t(\w+)$", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    return not int(mask, 16) >> (number - 1) & 1


def test_a_taken_port_is_a_sentence_and_nothing_is_started(project: ServedProject) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = project.command("up", str(project.folder), "--port", str(port), "--mlflow-port", str(free_port()))

    assert done.returncode == 1
    assert re.fullmatch(
        rf"Port {port}, which webserver needs, is taken by process {os.getpid()} \(`.*`\). Stop it, or choose another "
        "port with --port or --mlflow-port.\n",
        done.stderr,
    )
    assert project.processes() == {}


def test_up_starts_what_answers_and_a_second_up_starts_nothing(project: ServedProject, dagster: DagsterDev) -> None:
    assert answer(f"http://127.0.0.1:{project.mlflow_port}/health") == "OK"
    healthy = "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"

    def sensors_run() -> bool:
        statuses = dagster.query(healthy)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return any(status["daemonType"] == "SENSOR" and status["healthy"] for status in statuses)

    wait_until(sensors_run)
    before = project.processes()
    assert set(before) == {"mlflow", "webserver", "daemon"}

    shown = ServedProject(project.folder, free_port(), free_port()).up()

    assert f"Dagster  http://127.0.0.1:{project.port}" in shown
    assert f"MLflow   http://127.0.0.1:{project.mlflow_port}" in shown
    assert project.processes() == before


@pytest.mark.usefixtures("dagster")
def test_dev_beside_up_is_refused_and_names_it(project: ServedProject) -> None:
    ports = ["--port", str(free_port()), "--mlflow-port", str(free_port())]
    done = project.command("dev", str(project.folder), *ports)

    assert done.returncode == 1
    daemon = project.processes()["daemon"]
    assert re.fullmatch(
        rf"Process {daemon} \(`nnunet-assets up`, since 20[-0-9]+ [:0-9]+\) is the Dagster daemon of {project.folder} "
        rf"already, and two of them would start each run twice. Its web UI is at http://127.0.0.1:{project.port}. "
        rf"End it: nnunet-assets down {project.folder}\n",
        done.stderr,
    )


@pytest.mark.faults
def test_a_run_goes_on_through_a_reload_a_restart_of_the_web_ui_and_down(
    project: ServedProject, dagster: DagsterDev
) -> None:
    began, ended = project.folder / "began", project.folder / "ended"
    run_id = dagster.launch(("slow_fold",))
    wait_until(began.exists)
    worker = psutil.Process(int(began.read_text()))

    dagster.query("mutation { reloadWorkspace { __typename } }")
    psutil.Process(project.processes()["webserver"]).kill()
    project.up()
    servers = [psutil.Process(pid) for pid in project.processes().values()]
    if sys.platform == "linux":
        assert all(hears(process, signal.SIGTERM) for process in [worker, *servers])
    assert project.down() == "Stopped webserver.\nStopped daemon.\nStopped mlflow.\n"

    assert psutil.wait_procs(servers, 10)[1] == []
    assert is_free(project.port)
    assert is_free(project.mlflow_port)
    assert project.processes() == {}
    assert project.down() == "webserver is not running.\ndaemon is not running.\nmlflow is not running.\n"
    assert worker.is_running()
    assert not ended.exists()
    (project.folder / "go_on").touch()
    wait_until(ended.exists, 10)
    with DagsterInstance.from_config(str(project.folder / ".dagster")) as instance:
        wait_until(lambda: instance.get_run_by_id(run_id).status == DagsterRunStatus.SUCCESS, 20)
