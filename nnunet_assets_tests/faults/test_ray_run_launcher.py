"""Dagster's whole runs as jobs of a real Ray of two nodes, by the settings of `docs/postgresql.md`, on PostgreSQL.

    pip install dagster-ray 'ray[default]'
    pytest -m faults nnunet_assets_tests/faults/test_ray_run_launcher.py

Two folds at once that nothing happens to, and one whose run is terminated in training and materialized again.

Skipped where either is not installed: neither is an extra of this package.
"""

import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from click.testing import CliRunner
from dagster import DagsterRunStatus

import nnunet_assets
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.cli.main import main
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, n_saved_epochs, read_records
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.processes.host_name import HOST_TAG
from nnunet_assets.project_folder.instance_state import set_pool_limit
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import project_settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import EXPERIMENT, FOLD
from nnunet_assets_tests.dagster_dev import DagsterDev, free_port
from nnunet_assets_tests.engines.real_ray import RealRay, lack, real_ray
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.real_postgres import PostgresServer, postgres_server
from nnunet_assets_tests.served_project import ServedProject, wait_until
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [
    *MLFLOW_WARNINGS,
    pytest.mark.faults,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(importlib.util.find_spec("dagster_ray") is None, reason="dagster-ray is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("aiohttp_cors") is None, reason="ray[default] is not installed"),
]

FOLDS, N_EPOCHS = ("fold_0", "fold_1"), 6
N_LONG = 40
"""Epochs of the fold whose run is terminated after a few."""
SHORT, LONG = (Experiment(DATASET, "3d_fullres", variant=name) for name in ("short", "long"))
DECLARED = [
    variant("short", num_epochs=N_EPOCHS, num_iterations_per_epoch=2),
    variant("long", num_epochs=N_LONG, num_iterations_per_epoch=2),
]
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id) { __typename } }"
PAGE = Path(nnunet_assets.__file__).parents[1] / "docs" / "postgresql.md"


def documented(ray: RealRay) -> dict[str, Any]:
    """Returns the settings that the documentation gives, with the address of this Ray."""
    (block,) = [one for one in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.S) if "RayRunLauncher" in one]
    found: dict[str, Any] = yaml.safe_load(block.replace("10.0.0.1:8265", f"127.0.0.1:{ray.job_server_port}"))
    return found


@pytest.fixture(scope="module")
def ray() -> Iterator[RealRay]:
    if reason := lack():
        pytest.skip(reason)
    # As the same page has it for where `ray start` runs.
    variables = {"RAY_JOB_START_TIMEOUT_SECONDS": "1000000", "RAY_JOB_STOP_WAIT_TIME_S": "30"}
    variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with real_ray(variables, job_server=True) as found:
        found.add_node("n2", gpus=2, cpus=8, **variables)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "disabled")
            yield found


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.make("dagster", "mlflow")
        yield server


@pytest.fixture(scope="module")
def project(ray: RealRay, server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedProject]:
    folder = phantom_project(tmp_path_factory.mktemp("launched") / "project", DECLARED)
    urls = {"DAGSTER_POSTGRES_URL": server.url("dagster"), "MLFLOW_TRACKING_URI": server.url("mlflow")}
    result = CliRunner().invoke(main, ["init", "--postgres", str(folder)], env=urls)
    assert result.exit_code == 0, result.output
    file = folder / ".dagster" / "dagster.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | documented(ray)))
    set_pool_limit(folder, 2)
    served = ServedProject(folder, free_port(), free_port())
    served.up()
    yield served
    served.down()


def epochs_of(folder: Path) -> list[int | None]:
    return [record.epoch for record in read_records(journal_path(folder)) if record.kind == "epoch"]


def has_whole_summary(project: ServedProject) -> bool:
    file = SHORT.summary_folder(project_settings(project.folder).roots) / CV_SUMMARY_FILE
    return file.exists() and read_summary(file).is_complete


def test_two_folds_at_once_on_two_nodes_and_their_summary(project: ServedProject) -> None:
    done = project.command("backfill", "short", "--detach", "--project", str(project.folder))
    assert done.returncode == 0, done.stdout + done.stderr
    settings = project_settings(project.folder)
    wait_until(lambda: all(read_committed(SHORT.fold_folder(settings.roots, fold)) for fold in FOLDS), 900)
    for fold in FOLDS:
        folder = SHORT.fold_folder(settings.roots, fold)
        assert read_committed(folder, check_files=True)
        assert epochs_of(folder) == list(range(N_EPOCHS))
    wait_until(lambda: has_whole_summary(project), 300)
    client = connect(Destination.of(settings))
    found = client.get_experiment_by_name(DATASET)
    runs = client.search_runs([found.experiment_id], "tags.`nnunet_assets.run_type` = 'fold'")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    with open_instance(project.folder) as instance:
        trainings = [run for run in instance.get_runs() if "dagster/partition" in run.tags]
        times = [instance.get_run_record_by_id(run.run_id) for run in trainings]
    # No run names a machine, so that no daemon's sensor judges it: its launcher does.
    assert [HOST_TAG in run.tags for run in trainings] == [False, False]
    # Both went on at once.
    assert max(one.start_time for one in times) < min(one.end_time for one in times)


def test_a_run_that_is_terminated_ends_its_job_and_its_fold_goes_on_when_it_is_materialized_again(
    project: ServedProject, ray: RealRay, said: Callable[..., None]
) -> None:
    dagster = DagsterDev(f"http://127.0.0.1:{project.port}", project.folder / "run" / "webserver.log")
    settings = project_settings(project.folder)
    folder = LONG.fold_folder(settings.roots, "fold_0")
    client = connect(Destination.of(settings))
    run_id = dagster.launch(tuple(fold_model_key(LONG).path), partition="fold_0")
    wait_until(lambda: (n_saved_epochs(folder) or 0) >= 3, 400)
    of_run = processes_of_job(ray, run_id)
    assert any("fold_process" in part for process in of_run for part in process.cmdline())
    began = time.monotonic()
    assert dagster.query(TERMINATE, id=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"
    _, alive = psutil.wait_procs(of_run, 60)
    gone = time.monotonic() - began
    assert alive == []
    with open_instance(project.folder) as instance:
        wait_until(lambda: instance.get_run_by_id(run_id).status == DagsterRunStatus.CANCELED, 240)
    canceled = time.monotonic() - began
    assert read_committed(folder) is None
    (tracked,) = client.search_runs([client.get_experiment_by_name(DATASET).experiment_id], where(LONG))
    assert tracked.info.status == "KILLED"
    n_saved = n_saved_epochs(folder)

    again = dagster.launch(tuple(fold_model_key(LONG).path), partition="fold_0")
    wait_until(lambda: read_committed(folder, check_files=True), 600)
    with open_instance(project.folder) as instance:
        wait_until(lambda: instance.get_run_by_id(again).status == DagsterRunStatus.SUCCESS, 120)
    assert epochs_of(folder) == list(range(N_LONG))
    (continued,) = client.search_runs([tracked.info.experiment_id], where(LONG))
    assert (continued.info.run_id, continued.info.status) == (tracked.info.run_id, "FINISHED")
    points = client.get_metric_history(continued.info.run_id, "train_loss")
    assert sorted(point.step for point in points) == list(range(N_LONG))
    said(gone_after=f"{gone:.0f} s", canceled_after=f"{canceled:.0f} s", went_on_from_epoch=n_saved)


def where(experiment: Experiment) -> str:
    """Returns what MLflow's runs of an experiment's first fold are found by."""
    return f"tags.`{FOLD}` = 'fold_0' AND tags.`{EXPERIMENT}` = '{'/'.join(experiment.key_prefix)}'"


def processes_of_job(ray: RealRay, run_id: str) -> list[psutil.Process]:
    """Returns the processes of Ray's job of a run: its shell's, Dagster's, and whatever these started."""
    below = [one for raylet in ray.nodes.values() for one in raylet.children(recursive=True)]
    of_run = [one for one in below if "execute_run" in (command := command_of(one)) and run_id in command]
    return list(dict.fromkeys([*of_run, *(one for first in of_run for one in first.children(recursive=True))]))


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
