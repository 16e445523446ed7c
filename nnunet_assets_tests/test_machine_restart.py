"""A machine that goes down while a fold trains, and comes back: what it says, what it frees, what goes on by itself."""

import time
from contextlib import suppress

import psutil
import pytest

from nnunet_assets.cli.init import init_project
from nnunet_assets.core.commit import read_committed
from nnunet_assets.core.journal import journal_path, read_records
from nnunet_assets.core.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.client import connect
from nnunet_assets_tests.dagster_dev import dagster_dev
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [MLFLOW_WARNINGS, pytest.mark.faults]

DATASET = "Dataset900_Phantom"
EXPERIMENT = Experiment(DATASET, "3d_fullres", variant="tiny")
PREPARATION = [(DATASET, "raw_dataset"), (DATASET, "splits"), (DATASET, "preprocessed_plans")]
FOLD_MODEL = (*EXPERIMENT.key_prefix, "fold_model")
N_EPOCHS = 40
FAILS = ("fails",)

DECLARATIONS = f"""
type: nnunet_assets.components.NnunetDataset
attributes:
  dataset: {DATASET}
  folds: 2
  phantom: {{cases: 10, seed: 1}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: {DATASET}
  configuration: 3d_fullres
  device: cpu
  variant:
    {{name: tiny, num_epochs: {N_EPOCHS}, num_iterations_per_epoch: 2, num_val_iterations_per_epoch: 1}}
"""

# What an asset of this package raises where something is wrong with the data, and what any asset may raise.
FAILING = """
import dagster as dg

@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["failure", "error"]))
def fails(context: dg.AssetExecutionContext) -> None:
    raise dg.Failure("bad data") if context.partition_key == "failure" else ValueError("a bug")
"""
BACKFILL_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status } } }"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = init_project(tmp_path_factory.mktemp("restart") / "project")
    (folder / "experiments" / "example" / "defs.yaml").write_text(DECLARATIONS)
    (folder / "experiments" / "failing").mkdir()
    (folder / "experiments" / "failing" / "assets.py").write_text(FAILING)
    return folder


@pytest.fixture(scope="module")
def settings(project):
    return Settings.from_environment(project, {})


def _epochs(folder):
    return [record.epoch for record in read_records(journal_path(folder)) if record.kind == "epoch"]


def _kill_everything() -> None:
    """Kills every process that this test started, at once and without a word, as a power cut does."""
    victims = psutil.Process().children(recursive=True)
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.suspend()  # so that none sees another one die
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def test_a_restart_in_mid_training_is_a_failed_run_a_retry_and_one_mlflow_run(project, settings):
    folders = [EXPERIMENT.fold_folder(settings.roots, fold) for fold in ("fold_0", "fold_1")]
    with dagster_dev(project) as dev:
        backfill = dev.backfill(*PREPARATION, FOLD_MODEL)
        training = dev.wait_for("a fold that trains", lambda: [f for f in folders if len(_epochs(f)) > 2], 300)[0]
        (dead,) = [run["runId"] for run in dev.runs(dagster__partition=training.name) if run["status"] == "STARTED"]
        _kill_everything()
    n_epochs = len(_epochs(training))
    assert n_epochs < N_EPOCHS

    began = time.monotonic()
    with dagster_dev(project) as dev:
        status = {"of": "STARTED"}

        def is_told() -> bool:
            status["of"] = next(run["status"] for run in dev.runs() if run["runId"] == dead)
            return status["of"] == "FAILURE"

        dev.wait_for("the truth about the run", is_told, 60)
        print(f"told after {time.monotonic() - began:.0f} s; epochs at the cut: {n_epochs}")
        dev.wait_for("its retry", lambda: len(dev.runs(dagster__partition=training.name)) == 2, 60)
        dev.wait_for("a retry that runs", lambda: dev.runs(dagster__partition=training.name)[0]["status"] == "STARTED")
        print(f"retry began after {time.monotonic() - began:.0f} s")
        dev.wait_for("both folds", lambda: all(read_committed(folder) for folder in folders), 400)
        dev.wait_for(
            "the end of the backfill",
            lambda: (
                dev.query(BACKFILL_STATUS, id=backfill)["partitionBackfillOrError"]["status"] == "COMPLETED_SUCCESS"
            ),
            120,
        )
        runs = dev.runs(dagster__partition=training.name)
        assert [run["status"] for run in runs] == ["SUCCESS", "FAILURE"]
        assert runs[0]["tags"]["dagster/parent_run_id"] == dead
        other = next(folder.name for folder in folders if folder != training)
        assert [run["status"] for run in dev.runs(dagster__partition=other)] == ["SUCCESS"]

    assert _epochs(training) == list(range(N_EPOCHS))
    client = connect(settings.tracking_uri, settings.artifacts)
    ids = [found.experiment_id for found in client.search_experiments()]
    (run,) = client.search_runs(ids, f"tags.`nnunet_assets.fold` = '{training.name}'")
    assert run.info.status == "FINISHED"
    assert run.data.tags["dagster_run_id"] == runs[0]["runId"]
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")] == list(range(N_EPOCHS))


def test_what_an_asset_reports_as_its_failure_is_not_tried_again(project):
    with dagster_dev(project) as dev:
        dev.backfill(FAILS)
        dev.wait_for(
            "both failures",
            lambda: (
                [run["status"] for run in dev.runs() if run["tags"].get("dagster/partition") in ("failure", "error")]
                == ["FAILURE"] * 2
            ),
        )
        time.sleep(20)  # the daemon that starts retries looks every 5 seconds
        runs = [run for run in dev.runs() if run["tags"].get("dagster/partition") in ("failure", "error")]
        assert [run["status"] for run in runs] == ["FAILURE"] * 2
        assert [run["tags"]["dagster/will_retry"] for run in runs] == ["false"] * 2
