"""The main job on a real PostgreSQL: a backfill of real folds, while the database goes down, and their summary."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from nnunet_assets.assets.fold.fold_backfill import FoldBackfills
from nnunet_assets.cli.main import main
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.declarations.project import read_project
from nnunet_assets.jobs import experiment_job_names, preparation_keys
from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.project_folder.opened_instance import open_instance
from nnunet_assets.settings import project_settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.dagster_dev import free_port
from nnunet_assets_tests.phantom_builders import DATASET, phantom_project, variant
from nnunet_assets_tests.real_postgres import PostgresServer, postgres_server
from nnunet_assets_tests.served_project import ServedProject, wait_until
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.faults]

FOLDS, N_EPOCHS = ("fold_0", "fold_1"), 40
"""So many that a fold still trains when the database is back: one that has ended leaves what it could not send to
`sync`."""
EXPERIMENT = Experiment(DATASET, "2d", variant="tiny")
DECLARED = [{**variant("tiny", num_epochs=N_EPOCHS, num_iterations_per_epoch=10), "configuration": "2d"}]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.make("dagster", "mlflow")
        yield server


@pytest.fixture(scope="module")
def project(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = phantom_project(tmp_path_factory.mktemp("graph") / "project", DECLARED)
    urls = {"DAGSTER_POSTGRES_URL": server.url("dagster"), "MLFLOW_TRACKING_URI": server.url("mlflow")}
    result = CliRunner().invoke(main, ["init", "--postgres", str(folder)], env=urls)
    assert result.exit_code == 0, result.output
    declared = read_project(folder)
    with open_instance(folder) as instance:
        backfills = FoldBackfills(instance, EXPERIMENT, experiment_job_names(declared.experiments[0])[0])
        backfills.begin(FOLDS, preparation_keys(declared, DATASET))
    served = ServedProject(folder, free_port(), free_port())
    served.up()
    yield folder
    # What follows the summary by itself would wait for a database that does not come back.
    with open_instance(folder) as instance:
        wait_until(lambda: instance.get_runs_count(RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES)) == 0, 600)
    served.down()


def test_folds_go_on_while_the_database_is_away_and_are_summarized_when_it_is_back(
    server: PostgresServer, project: Path
) -> None:
    settings = project_settings(project)
    folders = [EXPERIMENT.fold_folder(settings.roots, fold) for fold in FOLDS]

    def n_epochs(folder: Path) -> int:
        return len([record for record in read_records(journal_path(folder)) if record.epoch is not None])

    wait_until(lambda: any(n_epochs(folder) >= 2 for folder in folders), 600)
    training = next(folder for folder in folders if n_epochs(folder) >= 2)
    before = n_epochs(training)
    server.stop("immediate")
    wait_until(lambda: n_epochs(training) > before + 3, 300)
    time.sleep(8)
    server.start()
    assert n_epochs(training) < N_EPOCHS - 3

    wait_until(lambda: all(read_committed(folder) for folder in folders), 900)
    summary = EXPERIMENT.summary_folder(settings.roots) / "cv_summary.json"
    wait_until(lambda: summary.exists() and json.loads(summary.read_text())["is_complete"], 600)

    client = connect(Destination.of(settings))
    (found,) = [one for one in client.search_experiments() if one.name == DATASET]
    folds = [
        run for run in client.search_runs([found.experiment_id]) if run.data.tags["nnunet_assets.run_type"] == "fold"
    ]
    assert sorted(run.data.tags["nnunet_assets.fold"] for run in folds) == list(FOLDS)
    # A fold is finished before the last of it is sent.
    wait_until(lambda: {client.get_run(run.info.run_id).info.status for run in folds} == {"FINISHED"}, 60)
    for run in folds:
        steps = Counter(point.step for point in client.get_metric_history(run.info.run_id, "train_loss"))
        assert steps == dict.fromkeys(range(N_EPOCHS), 1)
    with open_instance(project) as instance:
        trainings = [run for run in instance.get_runs() if "dagster/partition" in run.tags]
        # Nobody trained a fold twice, nor was a run of one lost.
        assert sorted(run.tags["dagster/partition"] for run in trainings) == list(FOLDS)
        wait_until(
            lambda: all(instance.get_run_by_id(run.run_id).status == DagsterRunStatus.SUCCESS for run in trainings), 120
        )
        assert {run.tags[HOST_TAG] for run in trainings} == {host_name()}
