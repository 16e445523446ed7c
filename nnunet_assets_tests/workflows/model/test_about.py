"""What a project says of a model: the numbers of its cross-validation, and digests of what it was made from."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import commit_fold, read_committed
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.model_description import ModelNumber
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.summary.summary_files import read_summary
from nnunet_assets.errors import SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import about
from nnunet_assets.workflows.model.about import about_experiment, numbers_of, with_inputs
from nnunet_assets.workflows.model.usable import usable_experiment
from nnunet_assets_tests.builders import EXPERIMENT as BUILT
from nnunet_assets_tests.builders import build_fold_result
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.workflows.model.test_usable import CASCADE, DATASET, FOLDS, LOWRES, MADE, write

EXPERIMENT = Experiment(DATASET, "2d")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def test_numbers_are_the_pooled_means_each_with_what_it_is() -> None:
    cases = {f"case_{k}": {"organ": 0.8 + k / 100, "lesion": None if k else 0.5, "never": None} for k in range(2)}
    summary = summarize(BUILT, ["fold_0"], [build_fold_result("fold_0", cases)])
    numbers = numbers_of(summary, "predicted somehow")
    assert set(numbers) == {"dice", "iou", "dice/organ", "iou/organ", "dice/lesion", "iou/lesion"}
    assert numbers["dice/organ"] == ModelNumber(0.805, None, 2, "Mean Dice of organ: predicted somehow.")
    assert numbers["dice/lesion"].n_cases == 1
    assert numbers["dice"].mean == pytest.approx((0.805 + 0.5) / 2)
    assert numbers["iou"].estimand == "Mean IoU of the foreground labels: predicted somehow."


def test_the_summary_is_made_where_it_is_missing_and_its_intervals_go_along(settings: Settings) -> None:
    for number, fold in enumerate(FOLDS):
        cases = {f"case_{number}_{k}": HIGHER for k in range(4)}
        write_fold(settings.roots, EXPERIMENT, fold, cases, inputs=MADE)
    about = about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT)
    summary = read_summary(EXPERIMENT.summary_folder(settings.roots) / "cv_summary.json")
    assert about.numbers["dice"].mean == summary.foreground.dice.pooled.mean == 0.5
    assert about.numbers["dice"].interval == summary.foreground.dice.pooled.interval is not None
    assert about.numbers["dice"].n_cases == 8
    assert about.n_cases == 8
    assert "by the one fold that was not trained on it" in about.numbers["dice"].estimand


def test_a_model_of_every_case_has_the_numbers_of_the_cross_validation_and_says_so(settings: Settings) -> None:
    write(settings, EXPERIMENT, *FOLDS, "fold_all")
    about = about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT, is_full_model=True)
    assert "this model was trained on every case" in about.numbers["dice"].estimand
    assert about.n_cases == 1  # fold_all has a case of its own here


@pytest.mark.parametrize("folds", [(), ("fold_0",)])
def test_without_a_complete_cross_validation_it_has_no_numbers(settings: Settings, folds: tuple[str, ...]) -> None:
    write(settings, EXPERIMENT, *folds, "fold_all")
    about = about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT, is_full_model=True)
    assert about.numbers == {}
    if not folds:
        with pytest.raises(SummaryError, match="No fold"):
            about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT)


def test_every_member_names_what_it_was_made_from_the_stage_before_included(settings: Settings) -> None:
    write(settings, LOWRES, *FOLDS)
    write(settings, CASCADE, *FOLDS)
    model = usable_experiment(settings, CASCADE, FOLDS)
    about = with_inputs(AboutModel(inputs={"other": {"raw_hash": "1"}}), model.members)
    cascade, lowres = (f"{DATASET}/{one.name}" for one in (CASCADE, LOWRES))
    assert set(about.inputs) == {"other", cascade, lowres}
    fold = LOWRES.fold_folder(settings.roots, "fold_1")
    assert about.inputs[lowres] == {
        "raw_hash": MADE.raw_hash,
        "plans_hash": MADE.plans_hash,
        "splits_hash": MADE.splits_hash,
        "fold_0/commit": file_sha256(fold.with_name("fold_0") / ".nnunet_assets/manifest.json"),
        "fold_1/commit": file_sha256(fold / ".nnunet_assets/manifest.json"),
    }
    assert about.notes == ()
    nowhere = replace(model.members[0], folder=settings.project / "nowhere", previous=None)
    assert with_inputs(AboutModel(), [nowhere]).inputs == {cascade: {}}


def test_cases_that_are_in_no_validation_were_trained_on_too(settings: Settings) -> None:
    write(settings, EXPERIMENT, *FOLDS)
    about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT)
    summary = read_summary(EXPERIMENT.summary_folder(settings.roots) / "cv_summary.json")
    for alone, n in ((None, 2), ((), 2), (("x", "y", "z"), 5)):
        found = replace(summary, training_only=alone)
        assert about._n_cases(settings.roots, EXPERIMENT, found) == n


def test_how_many_cases_a_model_of_every_case_has_is_not_known_of_one_that_is_not_there(settings: Settings) -> None:
    assert about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT, is_full_model=True).n_cases is None
    write(settings, EXPERIMENT, *FOLDS)
    whole = about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT, is_full_model=True)
    assert (whole.n_cases, len(whole.numbers) > 0) == (None, True)
    assert about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT).n_cases == 2


def test_an_incomplete_cross_validation_has_no_numbers_and_is_no_error(settings: Settings) -> None:
    write(settings, EXPERIMENT, "fold_0")
    assert about_experiment(settings.roots, EXPERIMENT, FOLDS, SILENT).numbers == {}


def test_a_checkpoint_that_its_manifest_names_is_among_what_a_member_was_made_from(settings: Settings) -> None:
    write(settings, EXPERIMENT, *FOLDS)
    (member,) = usable_experiment(settings, EXPERIMENT, FOLDS).members
    name = f"{DATASET}/{EXPERIMENT.name}"
    fold = EXPERIMENT.fold_folder(settings.roots, "fold_1")
    manifest = read_committed(fold)
    assert manifest is not None
    (fold / "checkpoint_final.pth").write_bytes(b"weights")
    sha256 = file_sha256(fold / "checkpoint_final.pth")
    commit_fold(fold, replace(manifest, files={**manifest.files, "checkpoint_final.pth": sha256}))
    made = with_inputs(AboutModel(), [member]).inputs[name]
    assert made["fold_1/checkpoint_final.pth"] == sha256
    assert "fold_0/checkpoint_final.pth" not in made


def test_a_model_that_continues_another_one_says_which_and_from_where_on(settings: Settings) -> None:
    write(settings, LOWRES, *FOLDS)
    continued = {"experiment": "A / short / B, fold_0", "variant": "short", "checkpoint_sha256": "abc", "n_epochs": 7}
    for fold in FOLDS:
        folder = LOWRES.fold_folder(settings.roots, fold)
        manifest = read_committed(folder)
        assert manifest
        commit_fold(folder, replace(manifest, details={**manifest.details, "continues": continued}))

    members = usable_experiment(settings, LOWRES, FOLDS).members
    about = with_inputs(AboutModel(notes=("first",)), members)

    assert about.notes == ("first", f"{LOWRES.title} continues the training of A / short / B after its 7 epochs.")
    assert about.inputs[f"{DATASET}/{LOWRES.name}"]["fold_1/continues"] == "abc"
    of_one_fold = with_inputs(AboutModel(), [replace(members[0], folds=members[0].folds[1:])])
    assert of_one_fold.notes == about.notes[1:]
    assert of_one_fold.inputs[f"{DATASET}/{LOWRES.name}"]["raw_hash"] == MADE.raw_hash
