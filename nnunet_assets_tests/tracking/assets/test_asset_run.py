import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.tracking.assets.asset_run import AssetRun, TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.run_words import RunWords
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset004_Hippocampus"
FLAT = summary_run(Experiment(dataset=DATASET, configuration="2d"))
SHORT = summary_run(Experiment(dataset=DATASET, configuration="2d", variant="short"))


@pytest.fixture
def destination(tmp_path: Path, stores_in_memory: None) -> Destination:
    return Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")


@pytest.fixture
def client(destination: Destination) -> Any:
    return connect(destination)


def all_runs(client: Any) -> list[Any]:
    return list(client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]))


def shown(destination: Destination, metrics: dict[str, float | None], *, run: AssetRun = FLAT, **more: Any) -> str:
    return bring_up_to_date(destination, run.showing(metrics), **more).known_id()


def test_a_summary_is_one_run_however_often_it_is_made(client: Any, destination: Destination, tmp_path: Path) -> None:
    table = tmp_path / "cv_summary.json"
    table.write_text('{"n_folds": 1}')
    first = shown(destination, {"dice_mean_pooled": 0.8}, files=[table], dagster_run_id="run-1")
    table.write_text('{"n_folds": 2}')
    again = shown(destination, {"dice_mean_pooled": 0.9}, files=[table], dagster_run_id="run-2")
    assert first == again
    (run,) = all_runs(client)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "2d cv")
    assert run.data.metrics == {"dice_mean_pooled": 0.9}
    assert run.data.tags["nnunet_assets.run_type"] == "cv_summary"
    assert run.data.tags["nnunet_assets.configuration"] == "2d"
    assert run.data.tags["dagster_run_id"] == "run-2"
    assert (destination.artifacts / first / "artifacts" / "cv_summary.json").read_text() == '{"n_folds": 2}'


def test_files_join_the_summarys_run_and_where_it_failed_the_next_summary_joins_theirs(
    client: Any, destination: Destination, tmp_path: Path
) -> None:
    figure = tmp_path / "cases.svg"
    figure.write_text("<svg/>")
    first = bring_up_to_date(destination, FLAT, [figure], folder="figures").known_id()
    assert shown(destination, {"dice_mean_pooled": 0.8}) == first
    figure.write_text("<svg>again</svg>")
    assert bring_up_to_date(destination, FLAT, [figure], folder="figures").run_id == first
    (run,) = all_runs(client)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "2d cv")
    assert run.data.metrics == {"dice_mean_pooled": 0.8}
    uploaded = destination.artifacts / first / "artifacts" / "figures" / "cases.svg"
    assert uploaded.read_text() == "<svg>again</svg>"


def test_a_clock_that_was_set_back_leaves_no_old_number_standing_and_no_end_before_the_start(
    client: Any, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = time.time_ns()
    for hours, value in ((0, 0.8), (-3, 0.9), (-30, 0.7), (2, 0.6)):
        monkeypatch.setattr(time, "time_ns", lambda hours=hours: world + hours * 3_600_000_000_000)
        run = client.get_run(shown(destination, {"dice_mean_pooled": value}))
        assert run.data.metrics == {"dice_mean_pooled": value}
        assert run.info.end_time >= run.info.start_time


def test_an_unchanged_summary_adds_no_points(client: Any, destination: Destination) -> None:
    for _ in range(3):
        run_id = shown(destination, {"dice_mean_pooled": 0.8, "dice/tumor": None})
    assert len(client.get_metric_history(run_id, "dice_mean_pooled")) == 1
    assert client.get_run(run_id).data.metrics == {"dice_mean_pooled": 0.8}


def test_a_number_that_is_undefined_now_is_not_left_standing(client: Any, destination: Destination) -> None:
    shown(destination, {"dice/tumor": 0.8, "dice/edema": 0.7, "dice/core": 0.6})
    time.sleep(0.002)  # of two values of one millisecond MLflow shows the larger
    run_id = shown(destination, {"dice/tumor": 0.8, "dice/edema": None})
    metrics = client.get_run(run_id).data.metrics
    assert metrics.pop("dice/tumor") == 0.8
    assert [math.isnan(value) for value in metrics.values()] == [True, True]


@pytest.mark.usefixtures("client")
def test_experiments_that_differ_in_their_variant_have_a_run_each(destination: Destination) -> None:
    assert len({shown(destination, {"dice": 0.8}, run=run) for run in (FLAT, SHORT)}) == 2


def test_labels_that_cannot_be_metrics_cost_only_themselves_and_are_named(
    client: Any, destination: Destination
) -> None:
    metrics = {"dice/Tumor": 0.8, "dice/tumor": 0.7, f"dice/{'x' * 300}": 0.6, "dice": 0.75}
    tracked = bring_up_to_date(destination, FLAT.showing(metrics))
    (run,) = all_runs(client)
    assert (run.info.run_id, run.info.status) == (tracked.run_id, "FINISHED")
    assert run.data.metrics == {"dice/Tumor": 0.8, "dice": 0.75}
    assert str(tracked.problem).startswith("Not sent to MLflow: 'dice/tumor' differs from 'dice/Tumor' only in case")
    assert "is longer than MLflow's 250 characters." in str(tracked.problem)


def test_a_server_that_is_down_is_told_and_not_raised(tmp_path: Path) -> None:
    down = Destination(f"http://127.0.0.1:{free_port()}", tmp_path)
    tracked = bring_up_to_date(down, FLAT.showing({"dice": 0.8}))
    assert (tracked.run_id, tracked.url) == (None, None)
    assert str(tracked.problem).startswith(f"MLflow at {down.tracking_uri} is not reachable: Connection refused.")


def test_what_mlflow_refuses_is_named_with_the_experiment(destination: Destination, tmp_path: Path) -> None:
    tracked = bring_up_to_date(destination, FLAT.showing({"dice": 0.8}), [tmp_path / "never_written.json"])
    assert tracked.run_id is None
    assert str(tracked.problem).startswith("The summary of Dataset004_Hippocampus")
    assert "is not in MLflow." in str(tracked.problem)
    assert "never_written.json" in str(tracked.problem)


def test_where_no_files_go_a_run_that_would_only_get_files_is_left_alone(tmp_path: Path) -> None:
    elsewhere = Destination("https://mlflow.example.org", tmp_path)
    assert bring_up_to_date(elsewhere, FLAT, [tmp_path / "cases.svg"]) == TrackedRun()


def test_the_link_is_to_the_page_that_shows_the_store(client: Any, destination: Destination) -> None:
    page = Destination(destination.tracking_uri, destination.artifacts, ui="http://127.0.0.1:5000")
    tracked = bring_up_to_date(page, FLAT.showing({"dice": 0.8}))
    (run,) = all_runs(client)
    assert tracked.url == f"http://127.0.0.1:5000/#/experiments/{run.info.experiment_id}/runs/{tracked.run_id}"


def test_a_user_may_choose_one_experiment_for_all(client: Any, destination: Destination) -> None:
    chosen = Destination(destination.tracking_uri, destination.artifacts, experiment="Everything")
    bring_up_to_date(chosen, FLAT.showing({"dice": 0.8}))
    (run,) = all_runs(client)
    assert client.get_experiment(run.info.experiment_id).name == "Everything"


def test_what_users_say_of_their_runs_is_in_it(client: Any, destination: Destination) -> None:
    words = RunWords("baseline", {"approach": "plain"}, "*why*")
    shown(replace(destination, words=words), {"dice_mean_pooled": 0.8})
    (run,) = all_runs(client)
    assert run.info.run_name == "cv baseline"
    assert (run.data.tags["approach"], run.data.tags["mlflow.note.content"]) == ("plain", "*why*")


def test_where_tracking_is_off_nothing_is_asked(tmp_path: Path) -> None:
    off = Destination("http://127.0.0.1:1", tmp_path, is_on=False)
    assert bring_up_to_date(off, FLAT.showing({"dice_mean_pooled": 0.8})) == TrackedRun()
