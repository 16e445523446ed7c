"""A fold's MLflow run, as a training leaves it: with its files where the fold is finished, with its logs where not."""

import socket
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment
from nnunet_assets.core.fold.commit import FinishedFold, commit_fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.fold import FoldOutcome
from nnunet_assets.processes.child import LOG_FILE
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import FOLD
from nnunet_assets.workflows.fold import train as module
from nnunet_assets.workflows.fold.train import tracked
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.tracking.folds import start, train
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
REQUEST = FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", INPUTS, dagster_run_id="run-1")


@pytest.fixture
def settings(project: Path) -> Settings:
    return Settings.from_environment(project, {})


@pytest.fixture
def fold_folder(settings: Settings) -> Path:
    return EXPERIMENT.fold_folder(settings.roots, "fold_0")


def trains(fold_folder: Path) -> None:
    """What a fold's process leaves behind."""
    start(fold_folder)
    train(fold_folder, 0, 1)
    (fold_folder / "training_log_2030_1_2_03_04_05.txt").write_text("Epoch 0")
    (fold_folder / "debug.json").write_text("{}")
    (fold_folder / OWN_FOLDER / LOG_FILE).write_text("CUDA out of memory")


def finishes(fold_folder: Path) -> FoldOutcome:
    """Trains to the end, with scores and a split."""
    trains(fold_folder)
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5})])
    (fold_folder.parent / "dataset.json").write_text('{"labels": {"organ": 1}, "file_ending": ".nii.gz"}')
    commit_fold(fold_folder, replace(build_manifest(fold_folder), details={"validation_cases": ["a"]}))
    finished = FinishedFold.read(fold_folder)
    assert finished
    dataset: Any = SimpleNamespace(splits=[{"train": ["b"], "val": ["a"]}])
    return FoldOutcome(EXPERIMENT, dataset, finished, is_new=True)


def ends(settings: Settings, fold_folder: Path, error: BaseException) -> None:
    """Trains for a while, tracked, and then does not go on."""

    def stops() -> FoldOutcome:
        trains(fold_folder)
        raise error

    tracked(stops, settings, REQUEST, Destination.of(settings), SILENT)


def run_and_files(settings: Settings) -> tuple[Any, set[str]]:
    client = connect(Destination.of(settings))
    experiment = client.get_experiment_by_name(EXPERIMENT.dataset)
    runs = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in runs if FOLD in run.data.tags]  # beside that of the cross-validation
    return run, {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_finished_fold_is_linked_and_has_its_files(settings: Settings, fold_folder: Path) -> None:
    _, report = tracked(partial(finishes, fold_folder), settings, REQUEST, Destination.of(settings), SILENT)

    run, files = run_and_files(settings)
    assert run.info.status == "FINISHED"
    assert run.data.tags["nnunet_assets.host"] == socket.gethostname()
    assert run.data.metrics["epochs_trained"] == 2
    assert {"history.json", "environment.txt"} <= files
    assert {"debug.json", "learning_curve.png", "output.log", "training_log_2030_1_2_03_04_05.txt"} <= files
    assert report.run_id == run.info.run_id
    # Its start and two epochs.
    assert (report.n_sent, report.n_waiting) == (3, 0)


@pytest.mark.parametrize(
    ("ids", "link"),
    [(("1", "run"), "http://mlflow.example/#/experiments/1/runs/run"), ((None, "run"), None), (("1", None), None)],
)
def test_a_trained_fold_links_to_its_run_where_there_is_one(
    settings: Settings,
    fold_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    ids: tuple[str | None, str | None],
    link: str | None,
) -> None:
    report = TrackingReport(ids[1], ids[0], None, 3, 0, 0, None, is_done=True)
    monkeypatch.setattr(module, "tracked", lambda *_, **__: (finishes(fold_folder), report))
    served = Destination("http://mlflow.example", settings.data)

    trained = module.train_fold(settings, REQUEST, served, SILENT)

    assert (trained.tracking, trained.run_url) == (report, link)
    assert [record.kind for record in trained.records] == ["start", "epoch", "epoch"]


def test_what_mlflow_gets_to_know_nothing_of_has_no_link(
    settings: Settings, fold_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "run_fold", lambda *_, **__: finishes(fold_folder))
    trained = module.train_fold(settings, REQUEST, None, SILENT)
    assert (trained.tracking, trained.run_url, trained.is_new) == (None, None, True)


def test_checkpoints_are_uploaded_where_the_user_sets_their_size(project: Path) -> None:
    settings = Settings.from_environment(project, {"NNUNET_ASSETS_TRACK_CHECKPOINTS_MB": "1"})
    fold_folder = EXPERIMENT.fold_folder(settings.roots, "fold_0")

    def keeps_its_checkpoint() -> FoldOutcome:
        outcome = finishes(fold_folder)
        (fold_folder / "checkpoint_final.pth").write_bytes(b"weights")
        return outcome

    tracked(keeps_its_checkpoint, settings, REQUEST, Destination.of(settings), SILENT)

    assert "checkpoint_final.pth" in run_and_files(settings)[1]


def test_a_fold_that_failed_has_the_logs_that_say_why(settings: Settings, fold_folder: Path) -> None:
    with pytest.raises(FoldError, match="no result"):
        ends(settings, fold_folder, FoldError("no result"))

    run, files = run_and_files(settings)
    assert run.info.status == "FAILED"
    assert run.data.metrics["epochs_trained"] == 2
    assert {"output.log", "training_log_2030_1_2_03_04_05.txt"} <= files
    assert "debug.json" not in files


def test_a_fold_that_somebody_stopped_is_killed(settings: Settings, fold_folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ends(settings, fold_folder, KeyboardInterrupt())

    assert run_and_files(settings)[0].info.status == "KILLED"


def test_a_fold_that_never_began_has_no_run(settings: Settings, fold_folder: Path) -> None:
    def refuses() -> FoldOutcome:
        raise FoldError("not preprocessed")

    with pytest.raises(FoldError):
        tracked(refuses, settings, REQUEST, Destination.of(settings), SILENT)

    assert not fold_folder.exists()
    client = connect(Destination.of(settings))
    assert client.get_experiment_by_name(EXPERIMENT.dataset) is None
