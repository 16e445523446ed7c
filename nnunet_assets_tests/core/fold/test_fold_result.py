"""What a finished fold is as a value: its cases, what it was made from, and that both are of one fold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.commit import FinishedFold, commit_fold
from nnunet_assets.core.fold.fold_result import ScoredFold, fold_result, read_fold_result
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import (
    INPUTS,
    build_fold_result,
    build_manifest,
    summary_entry,
    write_validation_summary,
)

LABELS = {"background": 0, "anterior": 1, "posterior": 2}


@pytest.fixture
def fold_folder(tmp_path: Path) -> Path:
    return tmp_path / "fold_0"


def read(fold_folder: Path) -> ScoredFold:
    return read_fold_result(
        fold_folder, LABELS, build_manifest(fold_folder), ["a", "b"], file_ending=".nii.gz", commit_sha256="commit"
    )


def test_a_fold_holds_its_cases_in_order_with_label_names_and_what_it_was_made_from(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry(case, {"1": 1.0, "2": 0.0}) for case in ("b", "a")])

    result = read(fold_folder)

    assert (result.fold, result.inputs, result.commit_sha256) == ("fold_0", INPUTS, "commit")
    assert (result.n_epochs, result.seconds) == (2, {"training": 3.5, "validation": 1.5})
    assert result.label_names == ("anterior", "posterior")
    assert [case.case_id for case in result.cases] == ["a", "b"]
    assert result.cases[0].scores["posterior"] == LabelScore(0.0, 0.0)
    assert (result.provenance.inputs, result.provenance.is_adopted) == (INPUTS, False)


def test_a_summary_that_was_rewritten_after_the_commit_is_refused(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    manifest = build_manifest(fold_folder)
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.9, "2": 0.9})])
    with pytest.raises(SummaryError, match="does not hold the scores that fold_0 was committed with"):
        read_fold_result(fold_folder, LABELS, manifest, ["a"], file_ending=".nii.gz", commit_sha256="")


def test_a_copied_fold_folder_is_refused(tmp_path: Path, fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    manifest = build_manifest(fold_folder)
    copy = fold_folder.rename(tmp_path / "fold_3")
    for name in ("fold_0", "fold_5"):
        with pytest.raises(SummaryError, match=rf"The manifest in .*fold_3 is that of {name}"):
            read_fold_result(copy, LABELS, replace(manifest, fold=name), ["a"], file_ending=".nii.gz", commit_sha256="")


def finished(fold_folder: Path, **details: Any) -> FinishedFold:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    manifest = replace(build_manifest(fold_folder), details={"validation_cases": ["a"], **details})
    commit_fold(fold_folder, manifest)
    found = FinishedFold.read(fold_folder)
    assert found is not None
    return found


def test_a_finished_fold_is_the_same_result_from_what_was_read_of_it_and_from_its_files(fold_folder: Path) -> None:
    found = finished(fold_folder, stopped_early="no better for 5 epochs")
    description = {"labels": LABELS, "file_ending": ".nii.gz"}
    result = fold_result(found, description)
    assert (result.stopped_early, result.commit_sha256) == ("no better for 5 epochs", found.sha256)
    assert [case.case_id for case in result.cases] == ["a"]
    (fold_folder / "validation" / "summary.json").unlink()
    with pytest.raises(SummaryError, match="cannot be read: No such file"):
        fold_result(replace(found, summary=None), description)
    with pytest.raises(SummaryError, match="is that of fold_0"):
        fold_result(replace(found, folder=fold_folder.with_name("fold_4")), description)


def test_a_result_survives_json_and_an_older_one_says_less() -> None:
    result = replace(
        build_fold_result("fold_2", {"a": {"x": 0.5, "y": None}}),
        gpu_hours=1.5,
        peak_memory_bytes={"host": 10},
        commit_sha256="commit",
        stopped_early="time",
    )
    content = json.loads(json.dumps(result.to_json()))
    assert ScoredFold.from_json(content, INPUTS) == result
    for name in ("gpu_hours", "peak_memory_bytes", "commit_sha256"):
        del content[name]
    older = replace(result, gpu_hours=None, peak_memory_bytes={}, commit_sha256=None)
    assert ScoredFold.from_json(content, INPUTS) == older


def test_what_a_fold_was_trained_with_does_not_make_another_result() -> None:
    result = build_fold_result("fold_0", {"a": {"x": 0.5}})
    assert replace(result, settings={"initial_lr": 0.1}, is_adopted=True) == result
    assert not result.is_adopted
    assert result.provenance.settings == {}


def test_how_it_was_trained_and_adopted_makes_no_other_result() -> None:
    one = build_fold_result("fold_0", {"a": {"organ": 0.9}})
    for changes in ({"settings": {"seed": 1}}, {"is_adopted": True}, {"training": TrainingEnd("other")}):
        assert replace(one, **changes) == one
    assert replace(one, n_epochs=one.n_epochs + 1) != one
