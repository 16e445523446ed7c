"""How far a validation is, by what lies in the fold's folder."""

import shutil
from pathlib import Path

import pytest

from nnunet_assets.core.fold.journal import Record, journal_path, write_records
from nnunet_assets.core.fold.validation_again import OUTPUT_FOLDER
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.nnunet.folds import fold_watch as module
from nnunet_assets.nnunet.folds.fold_watch import ValidationSteps
from nnunet_assets_tests.recorded_progress import RecordedProgress

WHAT = "validation cases predicted"


@pytest.fixture(autouse=True)
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP_SECONDS", 0.0)


def predict(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_each_case_counts_by_its_work_once_it_is_predicted(tmp_path: Path) -> None:
    progress, folder = RecordedProgress(), tmp_path / "validation"
    steps = ValidationSteps(tmp_path, progress)
    steps.look()  # while it trains
    ValidationWork({"a.1": 30, "b": 10}, 80.0, "cpu").write(tmp_path)
    write_records(journal_path(tmp_path), [Record("epoch", 1, 0, {"epoch_seconds": 160.0})])
    predict(folder)
    steps.look()
    assert progress.relayed == ["Predicting and scoring 2 validation cases, which may take 1:20."]
    predict(folder, "a.1.npz", "a.1.nii.gz", "a.nii.gz", "summary.json")
    steps.look()
    steps.look()
    predict(folder, "b.tif")
    steps.look()
    assert progress.steps == [(WHAT, 0, 2), (WHAT, 1, 2), (WHAT, 2, 2)]
    assert progress.shares == [0.0, 0.75, 1.0]


def test_what_an_earlier_attempt_predicted_does_not_count(tmp_path: Path) -> None:
    ValidationWork({"a": 1, "b": 1}, 1.0, "cpu").write(tmp_path)
    predict(tmp_path / "validation", "a.nii.gz")
    progress = RecordedProgress()
    steps = ValidationSteps(tmp_path, progress)
    steps.look()
    assert progress.relayed == []
    shutil.rmtree(tmp_path / "validation")
    predict(tmp_path / "validation")
    steps.look()
    predict(tmp_path / "validation", "a.nii.gz", "b.nii.gz")
    steps.look()
    assert progress.steps == [(WHAT, 0, 2), (WHAT, 2, 2)]


def test_a_finished_fold_that_is_validated_again_has_its_new_predictions_elsewhere(tmp_path: Path) -> None:
    ValidationWork({"a": 1}, 1.0, "cpu").write(tmp_path)
    predict(tmp_path / "validation", "a.nii.gz")
    progress = RecordedProgress()
    steps = ValidationSteps(tmp_path, progress)
    predict(tmp_path / OUTPUT_FOLDER / "validation")
    steps.look()
    predict(tmp_path / OUTPUT_FOLDER / "validation", "a.nii.gz")
    steps.look()
    assert progress.steps == [(WHAT, 0, 1), (WHAT, 1, 1)]


def test_of_a_fold_that_an_older_version_began_nothing_is_counted(tmp_path: Path) -> None:
    progress = RecordedProgress()
    steps = ValidationSteps(tmp_path, progress)
    predict(tmp_path / "validation", "a.nii.gz")
    steps.look()
    assert (progress.steps, progress.relayed) == ([], [])
