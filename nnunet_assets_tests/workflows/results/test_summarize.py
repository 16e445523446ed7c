"""Summaries on folds that were committed as the fold process commits them, but never trained."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import Timeout

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.splits.splits_files import write_record
from nnunet_assets.core.splits.splits_record import Generation, SplitsRecord
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.errors import SummaryError
from nnunet_assets.workflows.results import summarize as workflow
from nnunet_assets.workflows.results.summarize import make_summary, up_to_date_summary
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.cross_validation_builders import FOLDS, write_fold
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import roots_in

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Three finished folds."""
    roots = roots_in(tmp_path)
    for fold, cases in FOLDS.items():
        write_fold(EXPERIMENT.model_folder(roots), fold, cases)
    return roots


def test_it_is_made_alone_and_nothing_is_written_where_a_table_fails(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    assert {path.name for path in folder.iterdir()} == {".cv_summary.lock"}


def test_its_files_lie_in_the_models_folder_and_its_digest_is_that_of_the_folds(roots: Roots) -> None:
    made = make_summary(roots, EXPERIMENT, [*FOLDS, "fold_3"])

    names = {"cv_summary.json", "cv_cases.csv", "cv_cases.parquet", ".cv_summary.lock"}
    assert {path.name for path in EXPERIMENT.summary_folder(roots).iterdir()} == names
    assert json.loads(made.file.read_text())["missing_folds"] == ["fold_3"]
    assert made.digest == make_summary(roots, EXPERIMENT, [*FOLDS, "fold_3"]).digest
    assert made.digest != make_summary(roots, EXPERIMENT, list(FOLDS)).digest


def test_patients_that_the_splits_know_are_what_the_intervals_draw(roots: Roots) -> None:
    cases = {f"c{k}": (0.5 + k / 30, 0.5) for k in range(14)}
    write_fold(EXPERIMENT.model_folder(roots), "fold_0", cases)
    groups = {case: f"p{index // 2}" for index, case in enumerate(cases)}
    made = Generation(
        "2026-11-20", "made", {}, INPUTS.splits_hash, added={"fold_0": list(cases)}, removed=[], groups=groups
    )
    write_record(roots.preprocessed / EXPERIMENT.dataset, SplitsRecord((made,)))

    summary = make_summary(roots, EXPERIMENT, ["fold_0"]).summary

    assert summary.bootstrap is not None
    assert (summary.bootstrap.clustered_by, summary.bootstrap.n_clusters, summary.patients) == ("patient", 7, groups)
    found = summary.foreground.dice.pooled
    assert found.mean is not None
    assert found.interval is not None
    assert found.interval.low < found.mean < found.interval.high


def test_folds_of_other_data_are_refused_by_name_and_nothing_is_written(roots: Roots) -> None:
    write_fold(EXPERIMENT.model_folder(roots), "fold_1", {"d": (0.9, 0.9)}, replace(INPUTS, raw_hash="another"))

    with pytest.raises(SummaryError, match=r"fold_1 and fold_0, fold_2 differ in raw data\. Train fold_1 again"):
        make_summary(roots, EXPERIMENT, list(FOLDS))
    assert {path.name for path in EXPERIMENT.summary_folder(roots).iterdir()} == {".cv_summary.lock"}


def test_no_finished_fold_is_nothing_to_summarize_and_no_folder_is_made(tmp_path: Path) -> None:
    roots = roots_in(tmp_path)

    with pytest.raises(SummaryError, match="is finished, so there is nothing to summarize"):
        make_summary(roots, EXPERIMENT, list(FOLDS))
    assert not EXPERIMENT.model_folder(roots).exists()


class TestTheSummaryOfTheFoldsOnTheDisk:
    def test_is_made_where_it_is_missing_and_that_is_said_once(self, roots: Roots) -> None:
        progress = RecordedProgress()

        made = up_to_date_summary(roots, EXPERIMENT, list(FOLDS), progress)

        assert read_current_summary(roots, EXPERIMENT) == made
        (sentence,) = progress.said
        assert sentence.startswith(f"The summary of {EXPERIMENT.title} is missing, and is made now: 3 of 3 folds: Dice")
        assert up_to_date_summary(roots, EXPERIMENT, list(FOLDS), progress) == made
        assert len(progress.said) == 1

    def test_is_made_again_where_a_fold_was_trained_again_or_added(self, roots: Roots) -> None:
        progress = RecordedProgress()
        folds = [*FOLDS, "fold_3"]
        up_to_date_summary(roots, EXPERIMENT, folds, progress)
        model = EXPERIMENT.model_folder(roots)

        write_fold(model, "fold_1", {"d": (0.6, 0.5)})
        assert (
            up_to_date_summary(roots, EXPERIMENT, folds, progress).folds[1].cases[0].scores["tumor (core)"].dice == 0.6
        )
        write_fold(model, "fold_3", {"z": (0.6, 0.5)})
        assert up_to_date_summary(roots, EXPERIMENT, folds, progress).is_complete

        assert [sentence.split(", and is made")[0].partition(" is ")[2] for sentence in progress.said] == [
            "missing",
            "older than fold_1",
            "older than fold_3",
        ]

    def test_is_made_again_where_it_waits_for_a_fold_that_is_not_declared_any_more(self, roots: Roots) -> None:
        progress = RecordedProgress()
        assert not up_to_date_summary(roots, EXPERIMENT, [*FOLDS, "fold_3"], progress).is_complete

        made = up_to_date_summary(roots, EXPERIMENT, list(FOLDS), progress)

        assert made.expected_folds == tuple(FOLDS)
        assert read_current_summary(roots, EXPERIMENT) == made
        assert "waits for fold_3, which is not declared any more, and is made now: 3 of 3 folds" in progress.said[-1]

    def test_loses_no_fold_whose_folder_was_taken_away(self, roots: Roots) -> None:
        known = up_to_date_summary(roots, EXPERIMENT, list(FOLDS), RecordedProgress())
        EXPERIMENT.fold_folder(roots, "fold_2").rename(roots.results / "elsewhere")

        assert up_to_date_summary(roots, EXPERIMENT, list(FOLDS), RecordedProgress()) == known

    def test_is_not_made_over_one_that_was_edited(self, roots: Roots) -> None:
        file = make_summary(roots, EXPERIMENT, list(FOLDS)).file
        file.write_text(file.read_text().replace("0.9", "0.99"))

        with pytest.raises(SummaryError, match="it was edited"):
            up_to_date_summary(roots, EXPERIMENT, list(FOLDS), RecordedProgress())

    def test_is_an_error_in_a_sentence_where_it_cannot_be_written(
        self, roots: Roots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def read_only(*_: object) -> None:
            raise OSError(30, "Read-only file system", "/results")

        monkeypatch.setattr(workflow, "write_atomically", read_only)
        with pytest.raises(SummaryError, match=r"cannot be brought up to date: Read-only file system: /results$"):
            up_to_date_summary(roots, EXPERIMENT, list(FOLDS), RecordedProgress())

    def test_is_an_error_in_a_sentence_where_a_fold_cannot_be_read(
        self, roots: Roots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_summary(roots, EXPERIMENT, [*FOLDS, "fold_3"])

        def refused(_folder: Path) -> None:
            raise PermissionError(13, "Permission denied", "/results/fold_3")

        monkeypatch.setattr(FinishedFold, "read", refused)
        with pytest.raises(SummaryError, match="cannot be brought up to date: Permission denied: /results/fold_3"):
            up_to_date_summary(roots, EXPERIMENT, [*FOLDS, "fold_3"], RecordedProgress())

    def test_there_is_none_without_a_finished_fold(self, roots: Roots) -> None:
        for fold in FOLDS:
            (EXPERIMENT.fold_folder(roots, fold) / OWN_FOLDER / "COMMIT").unlink()

        with pytest.raises(SummaryError, match="is finished, so there is nothing to summarize"):
            up_to_date_summary(roots, EXPERIMENT, list(FOLDS), RecordedProgress())
