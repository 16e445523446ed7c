"""Two machines on one project and one PostgreSQL; the second is another UTS and PID namespace of this one.

What the second has in common with another host: another name, and other numbers for its processes. Locks it shares.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from textwrap import dedent
from urllib.error import HTTPError

import psutil
import pytest
from click.testing import CliRunner
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from nnunet_assets.cli.main import main
from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets_tests.cli.project.test_servers import SLEEPS
from nnunet_assets_tests.dagster_dev import DagsterDev, free_port
from nnunet_assets_tests.real_postgres import PostgresServer, postgres_server
from nnunet_assets_tests.served_project import ServedProject, wait_until
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

OTHER = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
SCRIPT = 'hostname otherhost; exec "$@"'


def can_unshare() -> bool:
    return subprocess.run([*OTHER, "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.faults,
    *MLFLOW_WARNINGS,
    pytest.mark.skipif(not can_unshare(), reason="this user may not make namespaces (unshare --uts --pid)"),
]


def on_the_other_host(*command: str) -> list[str]:
    return [*OTHER, "sh", "-c", SCRIPT, "sh", *command]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.make("dagster", "mlflow")
        yield server


@pytest.fixture(scope="module")
def project(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProject]:
    folder = tmp_path_factory.mktemp("hosts") / "project"
    urls = {"DAGSTER_POSTGRES_URL": server.url("dagster"), "MLFLOW_TRACKING_URI": server.url("mlflow")}
    result = CliRunner().invoke(main, ["init", "--postgres", str(folder)], env=urls)
    assert result.exit_code == 0, result.output
    (folder / "experiments" / "slow").mkdir()
    (folder / "experiments" / "slow" / "assets.py").write_text(dedent(SLEEPS))
    project = ServedProject(folder, free_port(), free_port())
    yield project
    project.down()


@pytest.fixture
def dagster(project: ServedProject) -> DagsterDev:
    project.up()
    for name in ("began", "go_on", "ended"):
        (project.folder / name).unlink(missing_ok=True)
    return DagsterDev(f"http://127.0.0.1:{project.port}", project.folder / "run" / "webserver.log")


@pytest.fixture
def instance(project: ServedProject) -> Iterator[DagsterInstance]:
    with open_instance(project.folder) as instance:
        yield instance


def launched_at_last(dagster: DagsterDev) -> str:
    """Launches the asset; the web UI's connection to the database of before fails once or twice."""
    for _ in range(5):
        with suppress(HTTPError):
            return dagster.launch(("slow_fold",))
        time.sleep(1)
    raise AssertionError("the web UI does not find the database again")


def skips(instance: DagsterInstance, since: float) -> list[str]:
    """What `close_dead_runs` said in its ticks since then, whichever daemon asked it."""
    (state,) = [one for one in instance.all_instigator_state() if one.instigator_name == "close_dead_runs"]
    ticks = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, after=since, statuses=[TickStatus.SKIPPED]
    )
    return [str(tick.tick_data.skip_reason) for tick in ticks]


def test_a_daemon_on_another_host_leaves_the_runs_of_this_one_alone(
    project: ServedProject, dagster: DagsterDev, instance: DagsterInstance
) -> None:
    run_id = dagster.launch(("slow_fold",))
    wait_until((project.folder / "began").exists, 120)
    assert instance.get_run_by_id(run_id).tags[HOST_TAG] == host_name()
    log = project.folder.parent / "other.log"
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(project.folder / ".dagster"),
        "NNUNET_ASSETS_PROJECT": str(project.folder),
        "PYTHONSAFEPATH": "1",
    }
    began = time.time()
    # One that looks at its ticks is the other one: whichever of two is ahead on a busy machine stays so.
    first = psutil.Process(project.processes()["daemon"])
    first.suspend()
    # Plain Dagster's: ours would be refused.
    daemon = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(project.folder / "workspace.yaml")]
    with log.open("wb") as output:
        other = subprocess.Popen(
            on_the_other_host(*daemon), cwd=project.folder, env=environment, stdout=output, stderr=output
        )
    try:
        # Only a daemon elsewhere sees a run that is not its own.
        wait_until(lambda: any("Left to the machines" in said for said in skips(instance, began)), 240)
        assert instance.get_run_by_id(run_id).status == DagsterRunStatus.STARTED, log.read_text()[-2000:]
        (project.folder / "go_on").touch()
        wait_until(lambda: instance.get_run_by_id(run_id).status == DagsterRunStatus.SUCCESS, 120)
    finally:
        first.resume()
        for process in [*psutil.Process(other.pid).children(recursive=True), psutil.Process(other.pid)]:
            process.kill()
        other.wait()


@pytest.mark.usefixtures("dagster")
def test_up_on_another_host_is_refused_and_names_the_first_and_down_says_where(project: ServedProject) -> None:
    before = project.processes()
    code = [sys.executable, "-c", "from nnunet_assets.cli.main import main; main()"]
    ports = ["--port", str(free_port()), "--mlflow-port", str(free_port())]
    up = subprocess.run(
        on_the_other_host(*code, "up", str(project.folder), *ports), capture_output=True, text=True, check=False
    )
    assert up.returncode == 1, up.stdout
    assert f"Process {before['daemon']} on {host_name()} (`nnunet-assets up`, since" in up.stderr
    assert f"End it, on {host_name()}: nnunet-assets down" in up.stderr
    down = subprocess.run(
        on_the_other_host(*code, "down", str(project.folder)), capture_output=True, text=True, check=False
    )
    assert down.returncode == 1
    for name, pid in before.items():
        assert (
            f"{name} was started on {host_name()} (process {pid}), and this is otherhost. Stop it there:" in down.stdout
        )
    assert project.processes() == before
    assert all(psutil.pid_exists(pid) for pid in before.values())


def test_a_database_that_goes_down_delays_a_run_and_loses_nothing(
    project: ServedProject, dagster: DagsterDev, instance: DagsterInstance, server: PostgresServer
) -> None:
    run_id = dagster.launch(("slow_fold",))
    wait_until((project.folder / "began").exists, 120)
    worker = psutil.Process(int((project.folder / "began").read_text()))

    server.stop("immediate")
    (project.folder / "go_on").touch()
    wait_until((project.folder / "ended").exists, 30)
    # Longer than Dagster itself tries.
    time.sleep(60)
    assert worker.is_running()
    server.start()

    wait_until(lambda: instance.get_run_by_id(run_id).status == DagsterRunStatus.SUCCESS, 180)
    assert [psutil.pid_exists(pid) for pid in project.processes().values()] == [True] * 3
    # The servers go on with it, too.
    for name in ("began", "ended"):
        (project.folder / name).unlink()
    launched_at_last(dagster)
    # What Dagster began to launch while it found itself again is tried again by itself, after its `start_timeout`.
    wait_until((project.folder / "ended").exists, 420)
