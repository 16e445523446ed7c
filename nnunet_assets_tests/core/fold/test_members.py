"""A fold of an ensemble is finished as long as its members are what they were."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold, commit_fold, commit_sha256
from nnunet_assets.core.fold.members import MEMBERS, Member, members_of, members_to_json
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.core.summary.summary_files import changed_folds
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets_tests.builders import INPUTS, build_manifest
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold

DATASET = "Dataset001_Tiny"
LEFT, RIGHT = (Experiment(DATASET, "2d"), Experiment(DATASET, "3d_fullres", variant="short"))
ENSEMBLE = Experiment.ensemble(DATASET, "both")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Two members and their ensemble, of one fold and one case."""
    roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    folders = [write_fold(roots, one, "fold_0", {"a": HIGHER}) for one in (LEFT, RIGHT)]
    folder = write_fold(roots, ENSEMBLE, "fold_0", {"a": HIGHER})
    members = [
        Member(
            one.name_in_dataset,
            one.model_folder(roots).relative_to(roots.results).as_posix(),
            commit_sha256(member),
            checkpoint="weights",
        )
        for one, member in zip((LEFT, RIGHT), folders, strict=True)
    ]
    details = {"validation_cases": ["a"], MEMBERS: members_to_json(members)}
    commit_fold(folder, replace(build_manifest(folder), details=details))
    return roots


def summary_of(roots: Roots) -> ScoredSummary:
    return summarize(ENSEMBLE, ["fold_0"], collect_fold_results(roots, ENSEMBLE, ["fold_0"]))


def validate_again(roots: Roots, member: Experiment) -> None:
    folder = member.fold_folder(roots, "fold_0")
    inputs = replace(INPUTS, training_hash="another training")
    commit_fold(folder, replace(build_manifest(folder, inputs), details={"validation_cases": ["a"]}))


def test_an_ensemble_of_unchanged_members_is_finished_and_its_summary_is_current(roots: Roots) -> None:
    finished = FinishedFold.read(ENSEMBLE.fold_folder(roots, "fold_0"))
    assert [member.name for member in members_of(finished.manifest.details)] == [
        "nnUNetTrainer__nnUNetPlans__2d",
        "short/nnUNetTrainer__nnUNetPlans__3d_fullres",
    ]
    assert changed_folds(roots, summary_of(roots)) == []


@pytest.mark.parametrize("member", [LEFT, RIGHT], ids=["first", "of a variant"])
def test_a_member_that_was_trained_again_makes_it_unfinished(roots: Roots, member: Experiment) -> None:
    summary = summary_of(roots)
    validate_again(roots, member)
    assert FinishedFold.read(ENSEMBLE.fold_folder(roots, "fold_0")) is None
    assert changed_folds(roots, summary) == ["fold_0"]


def test_a_member_that_trains_just_now_makes_it_unfinished(roots: Roots) -> None:
    (LEFT.fold_folder(roots, "fold_0") / ".nnunet_assets/manifest.json").unlink()
    assert FinishedFold.read(ENSEMBLE.fold_folder(roots, "fold_0")) is None


def test_a_member_whose_folder_was_taken_away_counts_as_it_was(roots: Roots) -> None:
    shutil.rmtree(LEFT.fold_folder(roots, "fold_0"))
    assert FinishedFold.read(ENSEMBLE.fold_folder(roots, "fold_0")) is not None


def test_results_that_are_moved_as_a_whole_stay_finished(roots: Roots, tmp_path: Path) -> None:
    moved = replace(roots, results=roots.results.rename(tmp_path / "elsewhere"))
    assert FinishedFold.read(ENSEMBLE.fold_folder(moved, "fold_0")) is not None
    validate_again(moved, RIGHT)
    assert FinishedFold.read(ENSEMBLE.fold_folder(moved, "fold_0")) is None


@pytest.mark.parametrize("members", [[{"name": "2d"}], ["2d"], [3]])
def test_members_of_another_form_make_no_finished_fold(roots: Roots, members: list[object]) -> None:
    folder = ENSEMBLE.fold_folder(roots, "fold_0")
    commit_fold(folder, replace(build_manifest(folder), details={"validation_cases": ["a"], MEMBERS: members}))
    assert FinishedFold.read(folder) is None
