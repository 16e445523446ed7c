"""What a fold's MLflow run gets as files."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold, commit_fold
from nnunet_assets.core.fold.journal import Record, append_record, journal_path
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.nnunet.results.results import scores_of
from nnunet_assets.workflows.fold.fold_uploads import checkpoints_of, contents_of, environment, files_of, history
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.tracking.folds import start, train

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")


def finished_fold(roots: Roots) -> Path:
    """A fold whose only label is in the first of its two validation cases."""
    fold = EXPERIMENT.fold_folder(roots, "fold_1")
    start(fold)
    train(fold, 0, 1)
    undefined = {"Dice": float("nan"), "IoU": float("nan")}
    entries = [summary_entry("case_b", {"1": undefined}), summary_entry("case_a", {"1": 0.5})]
    write_validation_summary(fold, entries)
    (fold.parent / "dataset.json").write_text(json.dumps({"labels": {"organ": 1}, "file_ending": ".nii.gz"}))
    commit_fold(fold, replace(build_manifest(fold), details={"validation_cases": ["case_a", "case_b"]}))
    splits = [{"train": ["case_a"], "val": ["case_c"]}, {"train": ["case_c"], "val": ["case_a", "case_b"]}]
    (roots.preprocessed / EXPERIMENT.dataset).mkdir(parents=True)
    (roots.preprocessed / EXPERIMENT.dataset / "splits_final.json").write_text(json.dumps(splits))
    return fold


def made(roots: Roots, progress: RecordedProgress) -> dict[str, bytes]:
    place = EXPERIMENT.place_of(roots, "fold_1")
    splits = partial(read_splits, roots.preprocessed / EXPERIMENT.dataset)
    finished = FinishedFold.read(place.folder)
    assert finished
    return contents_of(place, partial(scores_of, place.experiment, finished), splits, progress)


def test_a_finished_fold_gets_its_curve_history_split_scores_and_environment(roots: Roots) -> None:
    finished_fold(roots)
    progress = RecordedProgress()

    contents = made(roots, progress)

    assert progress.warned == []
    assert contents["learning_curve.png"].startswith(b"\x89PNG")
    assert json.loads(contents["history.json"])["train_loss"] == [0.0, 0.1]
    assert json.loads(contents["splits.json"]) == {"fold": "fold_1", "train": ["case_c"], "val": ["case_a", "case_b"]}
    # Undefined is an empty cell, not 0.
    assert contents["validation_cases.csv"].decode().splitlines() == [
        "fold,case,patient,label,dice,iou",
        "fold_1,case_a,,organ,0.5,0.3333333333333333",
        "fold_1,case_b,,organ,,",
    ]
    assert any(line.startswith("mlflow==") for line in contents["environment.txt"].decode().splitlines())


def test_what_cannot_be_made_is_said_and_the_rest_is_there(roots: Roots) -> None:
    finished_fold(roots)
    (roots.preprocessed / EXPERIMENT.dataset / "splits_final.json").write_text("[")
    progress = RecordedProgress()

    contents = made(roots, progress)

    assert set(contents) == {"learning_curve.png", "history.json", "validation_cases.csv", "environment.txt"}
    assert progress.warned[0].startswith("splits.json could not be made for MLflow (DatasetError)")


def test_the_files_of_a_fold_are_those_that_are_there_and_its_logs(tmp_path: Path) -> None:
    fold = tmp_path / "fold_0"
    names = [
        "fold_0/.nnunet_assets/manifest.json",
        "fold_0/validation/summary.json",
        "fold_0/debug.json",
        "plans.json",
        "dataset.json",
        "dataset_fingerprint.json",
        "fold_0/training_log_1.txt",
        "fold_0/training_log_2.txt",
    ]
    assert files_of(fold) == []
    for count, name in enumerate(names, 1):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        assert [str(file.relative_to(tmp_path)) for file in files_of(fold)] == names[:count]


def test_names_of_labels_can_be_read(roots: Roots) -> None:
    finished_fold(roots)
    append_record(journal_path(EXPERIMENT.fold_folder(roots, "fold_1")), "epoch", {"pseudo_dice/Läsion 海": 0.5}, 2)
    history_json = made(roots, RecordedProgress())["history.json"].decode()
    assert '\n  "pseudo_dice/Läsion 海": [' in history_json


def test_history_keeps_every_series_as_long_as_the_epochs() -> None:
    records = [
        Record("start", 1, None, {"params": {}}),
        Record("epoch", 2, 0, {"train_loss": 0.5}),
        Record("epoch", 3, 1, {"train_loss": None, "val_loss": 0.4}),
        Record("end", 4, None, {"val_dice_mean": 0.9}),
    ]
    assert history(records) == {"epoch": [0, 1], "train_loss": [0.5, None], "val_loss": [None, 0.4]}


def test_a_checkpoint_above_the_limit_is_named_and_not_uploaded(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_best.pth").write_bytes(b"x" * 1_000_000)
    (tmp_path / "checkpoint_final.pth").write_bytes(b"x" * 2_500_000)
    progress = RecordedProgress()

    assert checkpoints_of(tmp_path, 0, progress) == []
    assert progress.said == []
    assert checkpoints_of(tmp_path, 1, progress) == [tmp_path / "checkpoint_best.pth"]
    assert progress.said == ["checkpoint_final.pth is not uploaded: 2.5 MB, NNUNET_ASSETS_TRACK_CHECKPOINTS_MB is 1."]


@pytest.mark.parametrize(("size", "is_uploaded"), [(1_000_000, True), (1_000_001, False), (0, True)])
def test_a_megabyte_is_a_million_bytes(tmp_path: Path, size: int, is_uploaded: bool) -> None:
    path = tmp_path / "checkpoint_final.pth"
    path.write_bytes(bytes(size))
    assert checkpoints_of(tmp_path, 1, RecordedProgress()) == [path] * is_uploaded


def test_the_environment_is_what_pip_takes() -> None:
    first, *lines = environment().splitlines()
    assert first.startswith("# Python 3.")
    assert all(line.count("==") == 1 for line in lines)
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())
