import time
from pathlib import Path

from nnunet_assets.tracking.runs.runs import close_dead_runs
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


def test_only_the_running_runs_of_dead_dagster_runs_are_closed(tmp_path: Path, stores_in_memory: None) -> None:
    destination = Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    client = connect(destination)
    experiments = [
        get_or_create_experiment(client, name, destination)
        for name in ("Dataset004_Hippocampus", "Dataset005_Prostate")
    ]

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


def test_a_run_that_began_before_the_clock_was_set_back_does_not_end_before_its_start(
    tmp_path: Path, stores_in_memory: None
) -> None:
    destination = Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    client = connect(destination)
    experiment = get_or_create_experiment(client, "Dataset004_Hippocampus", destination)
    began = time.time_ns() // 1_000_000 + 3_600_000
    run_id = client.create_run(experiment, began, tags={"dagster_run_id": "dead"}).info.run_id
    close_dead_runs(client, {"dead": "FAILED"})
    assert client.get_run(run_id).info.end_time == began + 1
