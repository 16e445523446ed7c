from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.summary.fold_means import FoldMeansSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import SummaryError, TrackingError
from nnunet_assets.nnunet.results.results_folder import FolderRecord
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.reading.queries import MlflowRecord, tracked_folds
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, connect_to_read, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.cross_validation_builders import FOLDS, track_fold, write_fold
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, MlflowServer

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset004_Hippocampus"
FLAT = Experiment(DATASET, "2d")
SHORT = Experiment(DATASET, "2d", variant="short")
INPUTS = FoldInputs("raw", "plans", "splits", "settings")


def test_each_fold_has_the_status_of_its_newest_run_and_other_experiments_do_not_count(tmp_path: Path) -> None:
    client = connect(Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts"))
    assert tracked_folds(client, SHORT, experiment_name=DATASET) == {}
    home = get_or_create_experiment(client, DATASET, Destination(client.tracking_uri, tmp_path / "artifacts"))
    trainings = [
        (SHORT, "fold_0", "FAILED", 1),
        (SHORT, "fold_0", "FINISHED", 2),
        (SHORT, "fold_1", "KILLED", 3),
        (FLAT, "fold_2", "FINISHED", 4),
    ]
    for experiment, fold, status, start in trainings:
        run = client.create_run(home, start_time=start, tags=names.fold_tags(experiment, fold, INPUTS))
        client.set_terminated(run.info.run_id, status)
    assert tracked_folds(client, SHORT, experiment_name=DATASET) == {"fold_0": "FINISHED", "fold_1": "KILLED"}


def test_a_server_that_does_not_answer_any_more_is_an_error_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient("http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9"):
        tracked_folds(client, SHORT, experiment_name=DATASET)


def test_a_real_server_gives_the_numbers_of_the_folder_and_without_files_the_same_means_over_folds(
    tmp_path: Path, mlflow_server: MlflowServer
) -> None:
    environment = {"MLFLOW_TRACKING_URI": mlflow_server.uri, "MLFLOW_EXPERIMENT_NAME": "a name of the user's"}
    settings = Settings.from_environment(tmp_path, environment)
    for fold, cases in FOLDS.items():
        track_fold(settings, SHORT, write_fold(SHORT.model_folder(settings.roots), fold, cases))
    record = MlflowRecord(connect_to_read(Destination(mlflow_server.uri, settings.artifacts)))

    group, whole = record.summary("a name of the user's", None, lambda _group: list(FOLDS))

    assert isinstance(whole, ScoredSummary)
    _, on_disk = FolderRecord.of(settings.roots.results).summary(DATASET, group.name, lambda _group: list(FOLDS))
    assert whole == on_disk
    for file in (mlflow_server.folder / "served").glob("*/*/artifacts/dataset.json"):
        file.unlink()
    _, means = record.summary("a name of the user's", None, lambda _group: list(FOLDS))
    assert isinstance(means, FoldMeansSummary)
    assert means.compute_aggregate_metrics() == whole.compute_aggregate_metrics()
    assert (means.measures, means.is_complete) == (("dice", "iou"), True)
    assert list(means.label_names("dice")) == sorted(whole.labels)


def test_means_of_folds_of_other_data_are_not_averaged(uri: str, tmp_path: Path) -> None:
    client = connect(Destination(uri, tmp_path / "artifacts"))
    home = get_or_create_experiment(client, DATASET, Destination(client.tracking_uri, tmp_path / "artifacts"))
    for fold, raw in (("fold_0", "raw"), ("fold_1", "raw"), ("fold_2", "other")):
        tags = names.fold_tags(FLAT, fold, FoldInputs(raw, "plans", "splits", "settings"))
        run = client.create_run(home, tags=tags)
        client.log_metric(run.info.run_id, "val_dice_mean", 0.5)
        client.set_terminated(run.info.run_id, "FINISHED")

    with pytest.raises(SummaryError, match="fold_2 and fold_0, fold_1 differ in raw data"):
        MlflowRecord(client).summary(DATASET, None, lambda _group: ["fold_0", "fold_1", "fold_2"])


def test_without_files_the_checkpoint_that_was_validated_counts_too(uri: str, tmp_path: Path) -> None:
    client = connect(Destination(uri, tmp_path / "artifacts"))
    home = get_or_create_experiment(client, DATASET, Destination(client.tracking_uri, tmp_path / "artifacts"))
    for fold, validated in (("fold_0", "checkpoint_final.pth"), ("fold_1", "checkpoint_best.pth")):
        run = client.create_run(home, tags=names.fold_tags(FLAT, fold, INPUTS, validated=validated))
        client.log_metric(run.info.run_id, "val_dice_mean", 0.5)
        client.set_terminated(run.info.run_id, "FINISHED")

    with pytest.raises(SummaryError, match="differ in the checkpoint that was validated"):
        MlflowRecord(client).summary(DATASET, None, lambda group: group.default_folds)


def test_folds_beyond_the_fifth_are_found_behind_newer_runs_and_gaps(uri: str, tmp_path: Path) -> None:
    client = connect(Destination(uri, tmp_path / "artifacts"))
    home = get_or_create_experiment(client, DATASET, Destination(client.tracking_uri, tmp_path / "artifacts"))
    finished = ("fold_0", "fold_6", "fold_7", "fold_10")
    for start, fold in enumerate((*finished, *["fold_0"] * 10)):
        run = client.create_run(home, start_time=start, tags=names.fold_tags(FLAT, fold, INPUTS))
        client.log_metric(run.info.run_id, "val_dice_mean", 0.5)
        client.set_terminated(run.info.run_id, "FINISHED")

    group, summary = MlflowRecord(client).summary(DATASET, None, lambda group: group.default_folds)

    assert group.finished_folds == summary.completed_folds == finished
    assert summary.expected_folds == (*(f"fold_{index}" for index in range(5)), "fold_6", "fold_7", "fold_10")


def test_a_group_is_found_behind_many_newer_runs_of_other_kinds(uri: str, tmp_path: Path) -> None:
    client = connect(Destination(uri, tmp_path / "artifacts"))
    home = get_or_create_experiment(client, DATASET, Destination(client.tracking_uri, tmp_path / "artifacts"))
    for fold in ("fold_0", "fold_1"):
        run = client.create_run(home, start_time=1, tags=names.fold_tags(FLAT, fold, INPUTS))
        client.log_metric(run.info.run_id, "val_dice_mean", 0.5)
        client.set_terminated(run.info.run_id, "FINISHED")
    for number in range(12):
        other = client.create_run(home, start_time=10 + number, tags={names.RUN_TYPE: "tuning"})
        client.set_terminated(other.info.run_id, "FINISHED")

    group, summary = MlflowRecord(client).summary(DATASET, None, lambda _group: ["fold_0", "fold_1", "fold_2"])

    assert group.experiment == FLAT
    assert summary.completed_folds == ("fold_0", "fold_1")
