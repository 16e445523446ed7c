"""What became of a fold that was summarized."""

import shutil

import pytest

from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.recorded_folds import RecordedFold, recorded_fold
from nnunet_assets_tests.verification_builders import EXPERIMENT, WHOLE, finish_fold


@pytest.fixture
def first(project: Settings) -> RecordedFold:
    """As it was summarized."""
    return recorded_fold(project.roots, EXPERIMENT, "fold_0", None)


def again(project: Settings, first: RecordedFold) -> RecordedFold:
    return recorded_fold(project.roots, EXPERIMENT, "fold_0", first.finished.sha256)


def test_it_is_there_with_its_scores(project: Settings, first: RecordedFold) -> None:
    found = again(project, first)
    assert (found.state, found.finding().verdict) == ("there", "holds")
    assert [case.case_id for case in found.result.cases] == ["a", "b", "c", "d"]


def test_one_that_was_trained_again_may_be_kept_with_its_scores(project: Settings, first: RecordedFold) -> None:
    kept = first.folder.parent / "nnunet_assets" / "superseded" / "fold_0_20260101T000000"
    shutil.copytree(first.folder, kept)
    finish_fold(project.roots, EXPERIMENT, "fold_0", WHOLE, b"other")

    found = again(project, first)

    assert (found.state, found.folder, found.finding().verdict) == ("superseded", kept, "changed")
    assert found.result == first.result
    shutil.rmtree(kept)
    gone = again(project, first)
    assert (gone.state, gone.result, gone.finding().verdict) == ("replaced", None, "changed")


def test_one_that_is_gone_is_not_known(project: Settings, first: RecordedFold) -> None:
    shutil.rmtree(first.folder)
    found = again(project, first)
    assert (found.state, found.finding().verdict) == ("gone", "unknown")


def test_one_whose_files_were_changed_says_so(project: Settings, first: RecordedFold) -> None:
    summary = first.folder / SUMMARY_FILE
    summary.write_text(summary.read_text().replace("0.5", "0.6"))
    found = again(project, first)
    assert (found.state, found.finding().verdict) == ("damaged", "changed")
    assert "not those of its COMMIT" in found.finding().sentence


def test_one_that_has_begun_anew_is_another(project: Settings, first: RecordedFold) -> None:
    shutil.rmtree(first.folder / ".nnunet_assets")
    assert again(project, first).state == "replaced"


def test_scores_that_cannot_be_read_are_told(project: Settings, first: RecordedFold) -> None:
    (first.folder.parent / "dataset.json").write_text("{")
    found = again(project, first)
    assert found.result is None
    assert "dataset.json" in found.finding().sentence
