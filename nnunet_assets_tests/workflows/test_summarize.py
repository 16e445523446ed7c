"""Summaries on folds that were committed as the fold process commits them, but never trained."""

import os
from pathlib import Path

import pytest
from filelock import Timeout

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.workflows import summarize as workflow
from nnunet_assets.workflows.summarize import make_summary
from nnunet_assets_tests.cross_validation_builders import FOLDS, write_fold
from nnunet_assets_tests.training_builders import roots_in

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Three finished folds."""
    roots = roots_in(tmp_path)
    for fold, cases in FOLDS.items():
        write_fold(EXPERIMENT.model_folder(roots), fold, cases)
    return roots


def test_it_is_made_alone_and_written_after_its_cases(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = EXPERIMENT.summary_folder(roots)
    folder.mkdir()
    killed = folder / f".cv_summary.json.{'0' * 32}"
    killed.write_text("{")
    os.utime(killed, (0, 0))

    def full_disk(_summary: object) -> bytes:
        with pytest.raises(Timeout):
            kernel_lock(folder / ".cv_summary.lock", timeout=0).acquire()
        raise OSError("No space left on device")

    monkeypatch.setattr(workflow, "cases_to_parquet", full_disk)
    with pytest.raises(OSError, match="No space left"):
        make_summary(roots, EXPERIMENT, list(FOLDS))

    assert {path.name for path in folder.iterdir()} == {".cv_summary.lock", "cv_cases.csv"}
