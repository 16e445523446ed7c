import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import CV_SUMMARY_FILE, OWN_FOLDER, Roots
from nnunet_assets.core.summary.baseline import Baseline
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.summary.summary_files import (
    baseline_path,
    changed_folds,
    complete_summaries,
    read_baseline,
    read_current_summary,
    read_summary,
)
from nnunet_assets.errors import SummaryError
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result
from nnunet_assets_tests.cross_validation_builders import write_fold

FOLDS = ["fold_0", "fold_1"]


@pytest.fixture
def roots(tmp_path: Path) -> Any:
    return Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")


def write(roots: Roots, *folds: Any, variant: Any = None) -> Any:
    experiment = replace(EXPERIMENT, variant=variant)
    summary = summarize(experiment, FOLDS, [build_fold_result(fold, {fold: {"x": 0.5}}) for fold in folds])
    write_json_atomically(experiment.summary_folder(roots) / "cv_summary.json", summary.to_json())
    return summary


def test_complete_summaries_come_in_their_order_and_the_others_with_the_reason(roots: Roots) -> None:
    whole, half = write(roots, *FOLDS), write(roots, "fold_0", variant="half")
    found, left_out = complete_summaries(roots, {half.experiment: FOLDS, whole.experiment: FOLDS})
    assert found == [whole]
    assert left_out == {
        "half/nnUNetTrainer__nnUNetPlans__3d_fullres": "its summary is incomplete: 1 of 2 folds (fold_1 missing)"
    }


def test_a_summary_from_before_a_fold_was_declared_is_not_complete(roots: Roots) -> None:
    summary = write(roots, *FOLDS)
    found, left_out = complete_summaries(roots, {summary.experiment: [*FOLDS, "fold_2"]})
    assert found == []
    assert left_out == {
        summary.experiment.name_in_dataset: ("its summary was made before fold_2 was declared. Train what is missing")
    }


def test_a_summary_of_more_folds_than_are_declared_now_is_complete(roots: Roots) -> None:
    summary = write(roots, *FOLDS)
    assert complete_summaries(roots, {summary.experiment: ["fold_0"]}) == ([summary], {})


def test_a_summary_of_folds_that_were_trained_again_is_told_from_those_on_the_disk(roots: Roots) -> None:
    model = EXPERIMENT.model_folder(roots)
    folders = [write_fold(model, fold, {fold: (0.5, 0.5)}) for fold in FOLDS]
    summary = summarize(EXPERIMENT, FOLDS, fold_results_in(model, FOLDS))
    write_json_atomically(EXPERIMENT.summary_folder(roots) / CV_SUMMARY_FILE, summary.to_json())
    assert read_current_summary(roots, EXPERIMENT) == summary

    write_fold(model, "fold_1", {"fold_1": (0.6, 0.5)})
    with pytest.raises(SummaryError, match=r"not of the folds on the disk: fold_1 was .* Materialize cv_summary first"):
        read_current_summary(roots, EXPERIMENT)
    found, left_out = complete_summaries(roots, {EXPERIMENT: FOLDS})
    assert (found, list(left_out)) == ([], [EXPERIMENT.name_in_dataset])
    (folders[1] / OWN_FOLDER / "manifest.json").unlink()
    with pytest.raises(SummaryError, match="not of the folds on the disk: fold_1"):
        read_current_summary(roots, EXPERIMENT)
    shutil.rmtree(folders[1])
    assert read_current_summary(roots, EXPERIMENT) == summary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("\xff", "not valid JSON"),
        ("[]", "not as this package"),
        ("folder", "cannot be read: Is a directory"),
        ("a score of 400 digits", "not as this package"),
    ],
)
def test_what_cannot_be_read_is_left_out_with_the_reason(roots: Roots, text: str, message: str) -> None:
    file = EXPERIMENT.summary_folder(roots) / "cv_summary.json"
    if text == "folder":
        file.mkdir(parents=True)
    elif text == "a score of 400 digits":
        content = json.dumps(write(roots, "fold_0").to_json())
        file.write_text(content.replace('"dice": 0.5', f'"dice": {10**400}'))
    else:
        file.parent.mkdir(parents=True)
        file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SummaryError, match=message):
        read_summary(file)
    assert message.replace("\\", "") in complete_summaries(roots, {EXPERIMENT: FOLDS})[1][EXPERIMENT.name_in_dataset]


def test_an_experiment_without_a_summary_is_left_out_and_no_path_is_named(roots: Roots) -> None:
    assert complete_summaries(roots, {EXPERIMENT: FOLDS})[1] == {EXPERIMENT.name_in_dataset: "it has no summary yet"}
    with pytest.raises(SummaryError, match=r"cv_summary\.json is missing. Materialize"):
        read_summary(EXPERIMENT.summary_folder(roots) / "cv_summary.json")


def test_a_summary_that_names_no_commit_is_of_the_folds_that_are_there(roots: Roots) -> None:
    summary = write(roots, *FOLDS)
    for fold in FOLDS:
        write_fold(EXPERIMENT.model_folder(roots), fold, {fold: (0.5, 0.5)})
    assert changed_folds(roots, summary) == []


def test_what_is_left_out_hides_nothing_that_comes_after_it(roots: Roots) -> None:
    whole = write(roots, *FOLDS)
    missing, torn = (replace(EXPERIMENT, variant=name) for name in ("missing", "torn"))
    write(roots, *FOLDS, variant="torn")
    (torn.summary_folder(roots) / CV_SUMMARY_FILE).write_text("{")
    found, left_out = complete_summaries(roots, {missing: FOLDS, torn: FOLDS, EXPERIMENT: FOLDS})
    assert (found, len(left_out)) == ([whole], 2)


def test_what_is_read_anew_counts_and_no_file_has_to_be_there(roots: Roots) -> None:
    summary = summarize(EXPERIMENT, FOLDS, [build_fold_result(fold, {fold: {"x": 0.5}}) for fold in FOLDS])
    asked = []

    def read(*arguments: Any) -> Any:
        asked.append(arguments)
        return summary

    assert complete_summaries(roots, {EXPERIMENT: FOLDS}, read) == ([summary], {})
    assert asked == [(EXPERIMENT, FOLDS)]


def test_a_baseline_lies_beside_the_summary_and_a_damaged_one_says_what_to_do(roots: Roots) -> None:
    path = baseline_path(roots, EXPERIMENT)
    assert path == EXPERIMENT.summary_folder(roots) / "baseline.json"
    assert read_baseline(path) is None
    baseline = Baseline.of(write(roots, *FOLDS), accepted_at="2026-11-20T10:00:00+00:00", accepted_by="ada", note="")
    write_json_atomically(path, baseline.to_json())
    assert read_baseline(path) == baseline
    path.write_text("{")
    with pytest.raises(SummaryError, match=r"baseline\.json cannot be read .*nnunet-assets accept`, or delete"):
        read_baseline(path)
