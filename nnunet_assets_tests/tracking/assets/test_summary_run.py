import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking.assets.summary_run import add_to_summary, close_dead_runs, log_summary
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, answering

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset004_Hippocampus"
FLAT = Experiment(dataset=DATASET, configuration="2d")
SHORT = Experiment(dataset=DATASET, configuration="2d", variant="short")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("summary") / "artifacts"


@pytest.fixture
def client(artifacts: Path) -> Iterator[Any]:
    """A client of the module's store, without the runs of the test before."""
    client = connect(f"sqlite:///{artifacts.parent}/mlflow.db", artifacts)
    yield client
    for run in all_runs(client):
        client.delete_run(run.info.run_id)


def all_runs(client: Any) -> list[Any]:
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


def summarized(client: Any, artifacts: Path, metrics: dict[str, float | None], **more: Any) -> str:
    experiment = more.pop("experiment", FLAT)
    return log_summary(client, experiment, metrics, experiment_name=DATASET, artifacts=artifacts, **more)


def test_a_summary_is_one_run_however_often_it_is_made(client: Any, artifacts: Path, tmp_path: Path) -> None:
    table = tmp_path / "cv_summary.json"
    table.write_text('{"n_folds": 1}')
    first = summarized(client, artifacts, {"dice_mean_pooled": 0.8}, files=[table], dagster_run_id="run-1")
    table.write_text('{"n_folds": 2}')
    again = summarized(client, artifacts, {"dice_mean_pooled": 0.9}, files=[table], dagster_run_id="run-2")
    assert first == again
    (run,) = all_runs(client)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "nnUNetTrainer__nnUNetPlans__2d cv")
    assert run.data.metrics == {"dice_mean_pooled": 0.9}
    assert run.data.tags["nnunet_assets.run_type"] == "cv_summary"
    assert run.data.tags["dagster_run_id"] == "run-2"
    assert (artifacts / first / "artifacts" / "cv_summary.json").read_text() == '{"n_folds": 2}'


def test_files_join_the_summarys_run_and_where_it_failed_the_next_summary_joins_theirs(
    client: Any, artifacts: Path, tmp_path: Path
) -> None:
    figure = tmp_path / "cases.svg"
    figure.write_text("<svg/>")
    places = {"experiment_name": DATASET, "artifacts": artifacts}
    first = add_to_summary(client, FLAT, [figure], **places, folder="figures")
    assert summarized(client, artifacts, {"dice_mean_pooled": 0.8}) == first
    figure.write_text("<svg>again</svg>")
    assert add_to_summary(client, FLAT, [figure], **places, folder="figures") == first
    (run,) = all_runs(client)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "nnUNetTrainer__nnUNetPlans__2d cv")
    assert run.data.metrics == {"dice_mean_pooled": 0.8}
    assert (artifacts / first / "artifacts" / "figures" / "cases.svg").read_text() == "<svg>again</svg>"


def test_an_unchanged_summary_adds_no_points(client: Any, artifacts: Path) -> None:
    for _ in range(3):
        run_id = summarized(client, artifacts, {"dice_mean_pooled": 0.8, "dice/tumor": None})
    assert len(client.get_metric_history(run_id, "dice_mean_pooled")) == 1
    assert client.get_run(run_id).data.metrics == {"dice_mean_pooled": 0.8}


def test_a_number_that_is_undefined_now_is_not_left_standing(client: Any, artifacts: Path) -> None:
    summarized(client, artifacts, {"dice/tumor": 0.8, "dice/edema": 0.7, "dice/core": 0.6})
    run_id = summarized(client, artifacts, {"dice/tumor": 0.8, "dice/edema": None})
    metrics = client.get_run(run_id).data.metrics
    assert metrics.pop("dice/tumor") == 0.8
    assert [math.isnan(value) for value in metrics.values()] == [True, True]


def test_experiments_that_differ_in_their_variant_have_a_run_each(client: Any, artifacts: Path) -> None:
    ids = {summarized(client, artifacts, {"dice": 0.8}, experiment=experiment) for experiment in (FLAT, SHORT)}
    assert len(ids) == 2


def test_two_labels_under_one_name_are_refused(client: Any, artifacts: Path) -> None:
    with pytest.raises(TrackingError, match="'dice/tumor' differs from 'dice/Tumor' only in case"):
        summarized(client, artifacts, {"dice/Tumor": 0.8, "dice/tumor": 0.7})


def test_a_server_that_fails_is_named_with_the_experiment(artifacts: Path) -> None:
    with answering(200, b"{}") as uri:
        client = connect(uri, artifacts)
    with pytest.raises(TrackingError, match=r"summary of Dataset004.* is not in MLflow. MLflow at .* is not reachable"):
        summarized(client, artifacts, {"dice": 0.8})


def test_only_the_running_runs_of_dead_dagster_runs_are_closed(client: Any, artifacts: Path) -> None:
    experiments = [get_or_create_experiment(client, name, artifacts) for name in (DATASET, "Dataset005_Prostate")]

    def opened(dagster_run_id: str, experiment_id: str) -> str:
        return str(client.create_run(experiment_id, tags={"dagster_run_id": dagster_run_id}).info.run_id)

    runs = [*(opened("dead", number) for number in experiments), opened("canceled", experiments[0])]
    done, alive = opened("dead", experiments[0]), opened("alive", experiments[0])
    by_hand = client.create_run(experiments[0]).info.run_id
    client.set_terminated(done, "FINISHED")

    assert close_dead_runs(client, {"dead": "FAILED", "canceled": "KILLED", "unknown": "FAILED"}) == 3
    assert [client.get_run(run_id).info.status for run_id in [*runs, done, alive, by_hand]] == [
        "FAILED",
        "FAILED",
        "KILLED",
        "FINISHED",
        "RUNNING",
        "RUNNING",
    ]
    assert close_dead_runs(client, {"dead": "FAILED"}) == 0
