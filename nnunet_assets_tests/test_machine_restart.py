"""Run workers that are killed, alone or with the whole machine: what is said, what is freed, what goes on by itself."""

import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.dagster_dev import dagster_dev
from nnunet_assets_tests.phantom_builders import DATASET, PREPARATION, phantom_project, variant
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.faults]

SHORT = Experiment(DATASET, "3d_fullres", variant="short")
STOPPED = Experiment(DATASET, "3d_fullres", variant="stopped")
LONG = Experiment(DATASET, "3d_fullres", variant="long")
N_EPOCHS = 40

EXPERIMENTS = [
    variant("short", num_epochs=N_EPOCHS, num_iterations_per_epoch=2),
    {**variant("stopped", num_epochs=N_EPOCHS, num_iterations_per_epoch=2), "folds": [0]},
    {**variant("long", num_iterations_per_epoch=2), "folds": [0]},
]

FAILING = """
import dagster as dg

@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["failure", "error"]))
def fails(context: dg.AssetExecutionContext) -> None:
    raise dg.Failure("bad data") if context.partition_key == "failure" else ValueError("a bug")
"""

BACKFILL = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = phantom_project(tmp_path_factory.mktemp("restart") / "project", EXPERIMENTS)
    (folder / "experiments" / "failing").mkdir()
    (folder / "experiments" / "failing" / "assets.py").write_text(FAILING)
    return folder


@pytest.fixture(scope="module")
def settings(project: Any) -> Any:
    return Settings.from_environment(project, {})


def test_a_restart_in_mid_training_is_a_failed_run_a_retry_and_one_mlflow_run(project: Any, settings: Settings) -> None:
    folders = [SHORT.fold_folder(settings.roots, fold) for fold in ("fold_0", "fold_1")]
    with dagster_dev(project) as dev:
        backfill = dev.backfill(*PREPARATION, _fold_model(SHORT))
        training = dev.wait_for("a fold that trains", lambda: [f for f in folders if len(_epochs(f)) > 2], 300)[0]
        (dead,) = [run["runId"] for run in dev.runs(dagster__partition=training.name) if run["status"] == "STARTED"]
        _kill_everything()
    n_epochs = len(_epochs(training))
    assert n_epochs < N_EPOCHS

    came_back = time.monotonic()
    with dagster_dev(project) as dev:
        dev.wait_for("the truth about the run", lambda: _status(dev, dead) == "FAILURE", 60)
        print(f"The run has failed {time.monotonic() - came_back:.0f} s after the start, with {n_epochs} epochs.")
        # The other fold waited in the queue before the retry did, and may train first.
        dev.wait_for("a retry that trains", lambda: len(_epochs(training)) > n_epochs)
        print(f"The retry trained its first epoch {time.monotonic() - came_back:.0f} s after the start.")
        dev.wait_for("both folds", lambda: all(read_committed(folder) for folder in folders))
        has_ended = "COMPLETED_SUCCESS"
        dev.wait_for(
            "the end of the backfill",
            lambda: dev.query(BACKFILL, id=backfill)["partitionBackfillOrError"]["status"] == has_ended,
            120,
        )
        retry, first = dev.runs(dagster__partition=training.name)
        assert [(run["runId"], run["status"]) for run in (first, retry)] == [
            (dead, "FAILURE"),
            (retry["runId"], "SUCCESS"),
        ]
        (other,) = [folder.name for folder in folders if folder != training]
        assert [run["status"] for run in dev.runs(dagster__partition=other)] == ["SUCCESS"]

    assert _epochs(training) == list(range(N_EPOCHS))
    client = connect(Destination.of(settings))
    (run,) = _mlflow_runs(client, SHORT, training.name)
    assert (run.info.status, run.data.tags["dagster_run_id"]) == ("FINISHED", retry["runId"])
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")] == list(range(N_EPOCHS))


def test_a_run_worker_that_is_killed_again_and_again_is_started_again_once(project: Any, settings: Settings) -> None:
    folder = LONG.fold_folder(settings.roots, "fold_0")
    with dagster_dev(project) as dev:
        backfill = dev.backfill(*PREPARATION, _fold_model(LONG))
        dev.wait_for("a fold that trains", lambda: len(_epochs(folder)) > 2, 300)
        n_epochs = len(_epochs(folder))
        _kill_run_worker(folder)
        killed = time.monotonic()
        dev.wait_for("a retry that trains", lambda: len(_epochs(folder)) > n_epochs + 1, 90)
        print(f"The retry trained {time.monotonic() - killed:.0f} s after the kill.")
        _kill_run_worker(folder)
        trainings = {"dagster__backfill": backfill, "dagster__partition": "fold_0"}
        statuses = dev.wait_for("the end of both", lambda: _ended(dev.runs(**trainings)), 60)
        assert statuses == ["FAILURE", "FAILURE"]
        client = connect(Destination.of(settings))
        dev.wait_for("the end of the MLflow run", lambda: _is_closed(client), 60)
        time.sleep(15)  # the daemon that starts runs again looks every 5 seconds
        assert len(dev.runs(**trainings)) == 2


def test_a_fold_that_was_terminated_and_then_loses_its_daemon_is_trained_to_its_end(
    project: Any, settings: Settings
) -> None:
    folder = STOPPED.fold_folder(settings.roots, "fold_0")
    with dagster_dev(project) as dev:
        first = dev.backfill(*PREPARATION, _fold_model(STOPPED))
        dev.wait_for("a fold that trains", lambda: len(_epochs(folder)) > 2, 300)
        run = dev.wait_for("its run", lambda: dev.runs(dagster__backfill=first, dagster__partition="fold_0"))[0]
        terminated = time.monotonic()
        dev.query("mutation($id: String!) { terminateRun(runId: $id) { __typename } }", id=run["runId"])
        dev.wait_for("its end", lambda: _status(dev, run["runId"]) == "CANCELED", 60)
        print(f"It was over {time.monotonic() - terminated:.0f} s after it was terminated.")
        n_epochs = len(_epochs(folder))
        dev.backfill(_fold_model(STOPPED), partitions=["fold_0"])
        dev.wait_for("an epoch more", lambda: len(_epochs(folder)) > n_epochs)
        (daemon,) = [p for p in psutil.Process().children(recursive=True) if "dagster._daemon" in p.cmdline()]
        daemon.kill()
        # `dagster dev` ends when its daemon does; the fold does not.
        deadline = time.monotonic() + 300
        while read_committed(folder) is None:
            assert time.monotonic() < deadline, len(_epochs(folder))
            time.sleep(1)
        assert _epochs(folder) == list(range(N_EPOCHS))
        client = connect(Destination.of(settings))
        # MLflow gets the end after the COMMIT, and leaving this block would interrupt it.
        deadline = time.monotonic() + 60
        while (run := _mlflow_runs(client, STOPPED, "fold_0")[0]).info.status != "FINISHED":
            assert time.monotonic() < deadline, run.info.status
            time.sleep(1)
    assert len(_mlflow_runs(client, STOPPED, "fold_0")) == 1
    assert [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")] == list(range(N_EPOCHS))
    with dagster_dev(project) as dev:
        dev.wait_for("the end of its run", lambda: "STARTED" not in [run["status"] for run in dev.runs()], 90)


def test_what_an_asset_reports_as_its_failure_is_not_tried_again(project: Any) -> None:
    with dagster_dev(project) as dev:
        backfill = dev.backfill(("fails",))
        dev.wait_for("both failures", lambda: len(_ended(dev.runs(dagster__backfill=backfill)) or ()) == 2)
        time.sleep(15)
        runs = dev.runs(dagster__backfill=backfill)
        assert [(run["status"], run["tags"]["dagster/will_retry"]) for run in runs] == [("FAILURE", "false")] * 2


def _fold_model(experiment: Experiment) -> Any:
    return (*experiment.key_prefix, "fold_model")


def _epochs(folder: Any) -> Any:
    return [record.epoch for record in read_records(journal_path(folder)) if record.kind == "epoch"]


def _status(dev: Any, run_id: Any) -> Any:
    return next(run["status"] for run in dev.runs() if run["runId"] == run_id)


def _ended(runs: Any) -> Any:
    statuses = [run["status"] for run in runs]
    return statuses if set(statuses) <= {"FAILURE", "SUCCESS", "CANCELED"} else None


def _mlflow_runs(client: Any, experiment: Experiment, fold: Any) -> Any:
    ids = [found.experiment_id for found in client.search_experiments()]
    query = f"tags.`nnunet_assets.experiment` = '{'/'.join(experiment.key_prefix)}' AND tags.`nnunet_assets.fold` = "
    return client.search_runs(ids, f"{query}'{fold}'")


def _is_closed(client: Any) -> bool:
    (run,) = _mlflow_runs(client, LONG, "fold_0")
    return bool(run.info.status == "FAILED")


def _kill_everything() -> None:
    """Kills every process that this test started, at once and without a word, as a power cut does."""
    victims = psutil.Process().children(recursive=True)
    for end in (psutil.Process.suspend, psutil.Process.kill):  # suspended first: none sees another one die
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                end(process)


def _kill_run_worker(folder: Any) -> None:
    started = (
        p for p in psutil.process_iter(["cmdline"]) if str(folder / ".nnunet_assets") in (p.info["cmdline"] or [])
    )
    trainer = min(started, key=lambda process: process.create_time())
    trainer.parent().kill()
    assert psutil.wait_procs([trainer], 10)[1] == []
