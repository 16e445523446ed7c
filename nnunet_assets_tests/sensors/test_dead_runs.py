"""Runs whose process is gone, on a real Dagster instance in files, with real processes that are really killed."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from nnunet_assets.core.files.layout import TRAINING_POOL
from nnunet_assets.processes.host_name import HOST_TAG
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.sensors import close_dead_runs, dead_runs
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.sensors.test_sensors import FLAT, History, made_by
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS

STARTED, FAILURE = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
CANCELING, CANCELED = dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED


class Machine:
    """An instance in files, whose runs have a process each, and the project of the sensor that looks after them."""

    def __init__(self, instance: dg.DagsterInstance, project: Path) -> None:
        self.instance = instance
        self.project = project
        self.cursor: str | None = None
        self.processes: list[subprocess.Popen[bytes]] = []

    def process(self, *command: str) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(command or ["sleep", "600"])
        self.processes.append(process)
        return process

    def killed_process(self) -> int:
        process = self.process()
        process.kill()
        process.wait()
        return process.pid

    def run(
        self,
        pid: int | None,
        status: dg.DagsterRunStatus = STARTED,
        *,
        seconds_ago: float = 0,
        location: str | None = None,
        host: str | None = None,
    ) -> str:
        """Adds a run as its worker leaves it behind: in a status, and with the event by which it said its number."""
        tags = {HOST_TAG: host} if host else {}
        run = dg.DagsterRun("training", status=status, tags=tags, remote_job_origin=location_of_run(location))
        self.instance.add_run(run)
        if pid is not None:
            said = f"Started process for run (pid: {pid})."
            event = dg.DagsterEvent("ENGINE_EVENT", "training", event_specific_data=EngineEventData({}), message=said)
            at = time.time() - seconds_ago
            self.instance.handle_new_event(dg.EventLogEntry(None, 20, "", run.run_id, at, dagster_event=event))
        return run.run_id

    def tick(self) -> str:
        """Evaluates the sensor; returns what it says that it found."""
        project = ProjectResource(folder=str(self.project))
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, resources={"project": project})
        data = close_dead_runs.evaluate_tick(context)
        self.cursor = data.cursor
        return str(data.skip_message)

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run
        return run.status

    def last_message(self, run_id: str) -> str:
        return self.instance.all_logs(run_id)[-1].message


def location_of_run(name: str | None) -> RemoteJobOrigin | None:
    if name is None:
        return None  # as the sensor's own, in a tick that no code server evaluates
    location = GrpcServerCodeLocationOrigin("localhost", port=1, location_name=name)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), "training")


@pytest.fixture(scope="module")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance of Dagster in which nothing happened yet, to be copied: its three databases take half a second."""
    home = tmp_path_factory.mktemp("new_home")
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        instance.get_runs(limit=1)
        instance.all_instigator_state()
        instance.event_log_storage.get_pool_limits()
    return home


@pytest.fixture
def machine(project: Path, tmp_path: Path, new_home: Path) -> Iterator[Machine]:
    home = shutil.copytree(new_home, tmp_path / "dagster")
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        machine = Machine(instance, project)
        yield machine
        for process in machine.processes:
            process.kill()
            process.wait()


@pytest.fixture
def client(project: Path) -> Any:
    return connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "data" / "mlartifacts"))


def test_a_run_whose_process_lives_is_left_alone(machine: Machine) -> None:
    run = machine.run(machine.process().pid)
    assert machine.tick() == (
        "Runs without their process: 0. Failed or canceled since the last look: 0. MLflow runs closed: 0."
    )
    assert machine.status(run) == STARTED


def test_a_run_whose_process_was_killed_has_failed_and_its_slot_is_free(machine: Machine) -> None:
    pid = machine.killed_process()
    run = machine.run(pid)
    storage = machine.instance.event_log_storage
    storage.set_concurrency_slots(TRAINING_POOL, 1)
    storage.claim_concurrency_slot(TRAINING_POOL, run, "fold_model")
    assert storage.get_concurrency_info(TRAINING_POOL).active_slot_count == 1

    assert machine.tick().startswith("Runs without their process: 1. Failed or canceled since the last look: 1.")

    assert machine.status(run) == FAILURE
    assert machine.last_message(run) == (
        f"The process of this run ({pid}) is gone: it was killed, or the machine went down. A fold goes on from its "
        "last checkpoint when it runs again."
    )
    assert storage.get_concurrency_info(TRAINING_POOL).active_slot_count == 0
    assert machine.tick().startswith("Runs without their process: 0. Failed or canceled since the last look: 0.")


@pytest.mark.parametrize(("status", "ending"), [(CANCELING, CANCELED), (dg.DagsterRunStatus.STARTING, FAILURE)])
def test_a_run_that_was_starting_or_being_canceled_ends_accordingly(
    machine: Machine, status: dg.DagsterRunStatus, ending: dg.DagsterRunStatus
) -> None:
    run = machine.run(machine.killed_process(), status)
    machine.tick()
    assert machine.status(run) == ending


def test_a_process_that_nobody_waited_for_is_gone_too(machine: Machine) -> None:
    process = machine.process()
    process.kill()
    run = machine.run(process.pid)
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    machine.tick()
    assert machine.status(run) == FAILURE


def test_a_younger_process_with_the_same_number_is_not_the_run_s(machine: Machine) -> None:
    pid = machine.process().pid
    before_the_restart = machine.run(pid, seconds_ago=60)
    now = machine.run(pid)
    machine.tick()
    assert [machine.status(run) for run in (before_the_restart, now)] == [FAILURE, STARTED]


def test_a_clock_that_was_set_forward_makes_no_run_dead(machine: Machine) -> None:
    spawned = "import time; from multiprocessing.spawn import spawn_main; time.sleep(600)"
    run = machine.run(machine.process(sys.executable, "-c", spawned).pid, seconds_ago=3600)
    machine.tick()
    assert machine.status(run) == STARTED


def test_a_run_that_has_no_process_yet_is_left_to_dagster(machine: Machine) -> None:
    statuses = [dg.DagsterRunStatus.STARTING, STARTED]
    runs = [machine.run(None, status) for status in statuses]
    machine.tick()
    assert [machine.status(run) for run in runs] == statuses


def test_a_run_of_another_code_location_may_have_its_process_on_another_machine(machine: Machine) -> None:
    run = machine.run(machine.killed_process(), location="elsewhere")
    machine.tick()
    assert machine.status(run) == STARTED


def test_a_run_of_another_machine_is_left_to_it_and_counted(machine: Machine) -> None:
    there, here = (machine.run(machine.killed_process(), host=host) for host in ("another", socket.gethostname()))

    said = machine.tick()

    assert [machine.status(run) for run in (there, here)] == [STARTED, FAILURE]
    assert said.startswith("Runs without their process: 1.")
    assert said.endswith(" Left to the machines that they run on: 1.")


def test_on_a_database_server_a_run_that_names_no_machine_may_be_any_machine_s(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_runs, "SqliteRunStorage", type(None))
    anybodys, ours = (machine.run(machine.killed_process(), host=host) for host in (None, socket.gethostname()))
    machine.tick()
    assert [machine.status(run) for run in (anybodys, ours)] == [STARTED, FAILURE]


def test_runs_that_a_cluster_starts_are_the_cluster_s(
    machine: Machine, instance: dg.DagsterInstance, project: Path
) -> None:
    # The instance in memory has another launcher, as Kubernetes has.
    elsewhere = Machine(instance, project)
    run = elsewhere.run(machine.killed_process())
    elsewhere.tick()
    assert elsewhere.status(run) == STARTED


def test_a_run_that_ends_while_it_is_looked_at_keeps_its_own_ending(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = machine.run(1_234_567)

    def ends_now(pid: int) -> psutil.Process:
        ended = machine.instance.get_run_by_id(run)
        assert ended
        machine.instance.report_run_canceled(ended, "by its user")
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", ends_now)
    machine.tick()
    assert machine.last_message(run) == "by its user"


def test_the_mlflow_runs_of_what_died_are_closed_in_the_same_tick(machine: Machine, client: Any) -> None:
    failed, canceled = (machine.run(machine.killed_process(), status) for status in (STARTED, CANCELING))
    alive = machine.run(machine.process().pid)
    gone_on_with = machine.run(machine.killed_process())
    runs = [client.create_run("0", tags={"dagster_run_id": run}) for run in (failed, canceled, alive, gone_on_with)]
    # As a fold that is trained again tags its run.
    client.set_tag(runs[3].info.run_id, "dagster_run_id", alive)

    assert machine.tick() == (
        "Runs without their process: 3. Failed or canceled since the last look: 3. MLflow runs closed: 2."
    )

    assert [client.get_run(run.info.run_id).info.status for run in runs] == ["FAILED", "KILLED", "RUNNING", "RUNNING"]


def test_the_mlflow_run_of_a_run_that_somebody_else_ended_is_closed(machine: Machine, client: Any) -> None:
    """The code server reports a killed process, and the web UI forces a run to be canceled."""
    run = machine.instance.get_run_by_id(machine.run(machine.process().pid))
    assert run
    tracked = client.create_run("0", tags={"dagster_run_id": run.run_id})
    machine.instance.report_run_canceled(run)
    assert machine.tick().endswith("Failed or canceled since the last look: 1. MLflow runs closed: 1.")
    assert client.get_run(tracked.info.run_id).info.status == "KILLED"


def test_a_tracking_server_that_is_down_is_named_and_told_when_it_is_back(
    machine: Machine, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = machine.run(machine.killed_process())
    tracked = client.create_run("0", tags={"dagster_run_id": run})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Exception, match="is not reachable"):
        machine.tick()
    assert machine.status(run) == FAILURE
    assert client.get_run(tracked.info.run_id).info.status == "RUNNING"

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert machine.tick().endswith("Failed or canceled since the last look: 1. MLflow runs closed: 1.")
    assert client.get_run(tracked.info.run_id).info.status == "FAILED"


def test_a_refresh_that_died_holds_back_the_next_one_no_longer(machine: Machine) -> None:
    history = History(machine.instance)
    history.trained(FLAT, "fold_0")
    (refresh,) = history.tick()
    dead = machine.run(machine.killed_process())
    machine.instance.add_run_tags(dead, {key: refresh.tags[key] for key in refresh.tags if "refresh" in key})
    history.ended(refresh, seen=history.newest_fold(FLAT))
    history.trained(FLAT, "fold_1")
    assert history.tick() == []

    machine.tick()

    assert made_by(history.tick()) == made_by([refresh])
