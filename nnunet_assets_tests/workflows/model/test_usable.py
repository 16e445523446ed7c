"""Folds of a project as a model; files stand for their checkpoints."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import FoldError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.usable import usable_ensemble, usable_experiment
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.raw_builders import write_json

DATASET = "Dataset001_Tiny"
LOWRES, CASCADE = Experiment(DATASET, "3d_lowres"), Experiment(DATASET, "3d_cascade_fullres")
PLANS = {
    "plans_name": "nnUNetPlans",
    "configurations": {
        "2d": {},
        "3d_lowres": {"next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"previous_stage": "3d_lowres"},
    },
}
MADE = replace(INPUTS, plans_hash=json_sha256(PLANS))
FOLDS = ("fold_0", "fold_1")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def write(settings: Settings, experiment: Experiment, *folds: str) -> None:
    for number, fold in enumerate(folds):
        write_fold(settings.roots, experiment, fold, {f"case_{number}": HIGHER}, inputs=MADE)
        checkpoint = experiment.fold_folder(settings.roots, fold) / "checkpoint_final.pth"
        checkpoint.write_text(f"weights of {experiment.configuration}, {fold}")
    write_json(experiment.model_folder(settings.roots) / "plans.json", PLANS)


def test_the_finished_folds_of_an_experiment_are_one_member(settings: Settings) -> None:
    experiment = Experiment(DATASET, "2d", variant="short")
    write(settings, experiment, *FOLDS)

    model = usable_experiment(settings, experiment, FOLDS)

    (member,) = model.members
    assert (member.folds, member.checkpoint, member.previous) == (FOLDS, "checkpoint_final.pth", None)
    assert member.folder == experiment.model_folder(settings.roots)
    assert model.title == f"{experiment.title}, 2 folds"
    assert usable_experiment(settings, experiment, FOLDS) == model


def test_other_weights_steps_and_folds_are_another_model(settings: Settings) -> None:
    experiment = Experiment(DATASET, "2d")
    write(settings, experiment, *FOLDS)
    digests = [
        usable_experiment(settings, experiment, FOLDS).digest,
        usable_experiment(settings, experiment, FOLDS, [(1,)]).digest,
        usable_experiment(settings, experiment, FOLDS[:1]).digest,
    ]
    (experiment.fold_folder(settings.roots, "fold_0") / "checkpoint_final.pth").write_text("others")
    digests.append(usable_experiment(settings, experiment, FOLDS).digest)
    assert len(set(digests)) == 4


def test_a_model_of_every_case_predicts_alone(settings: Settings) -> None:
    experiment = Experiment(DATASET, "2d")
    write(settings, experiment, "fold_all")
    model = usable_experiment(settings, experiment, ["fold_all"])
    assert model.members[0].folds == ("fold_all",)
    assert model.title == f"{experiment.title}, the model of every case"


def test_a_cascade_brings_the_stage_before_with_the_same_folds(settings: Settings) -> None:
    write(settings, LOWRES, *FOLDS, "fold_2")
    write(settings, CASCADE, *FOLDS)
    model = usable_experiment(settings, CASCADE, FOLDS)
    before = model.members[0].previous
    assert before
    assert (before.experiment, before.folds) == (LOWRES, FOLDS)

    (LOWRES.fold_folder(settings.roots, "fold_1") / "checkpoint_final.pth").write_text("others")
    assert usable_experiment(settings, CASCADE, FOLDS).digest != model.digest


def test_an_ensemble_has_its_members_in_the_order_of_their_names(settings: Settings) -> None:
    plain, short = Experiment(DATASET, "2d"), Experiment(DATASET, "2d", variant="a_short_one")
    for member in (plain, short):
        write(settings, member, *FOLDS)
    ensemble = Experiment.ensemble(DATASET, "both")

    model = usable_ensemble(settings, ensemble, [plain, short], FOLDS)

    assert [member.experiment for member in model.members] == [short, plain]
    assert model.title == f"{ensemble.title}, 2 members of 2 folds"
    assert usable_ensemble(settings, ensemble, [short, plain], FOLDS) == model
    assert usable_ensemble(settings, ensemble, [short, plain], FOLDS, [(1,)]).digest != model.digest


def test_before_a_cascade_of_every_case_all_folds_of_the_stage_predict(settings: Settings) -> None:
    write(settings, LOWRES, "fold_0", "fold_1", "fold_10", "fold_2")
    write(settings, CASCADE, "fold_all")
    before = usable_experiment(settings, CASCADE, ["fold_all"]).members[0].previous
    assert before
    assert before.folds == ("fold_0", "fold_1", "fold_2", "fold_10")


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        ([], "folds of an empty list"),
        (["fold_0", "fold_all"], "fold_all alone"),
        (["fold_0", "fold_7"], "1 of 2 is not finished"),
        (["fold_all"], "1 of 1 is not finished"),
    ],
)
def test_folds_that_are_no_model_are_refused(settings: Settings, folds: list[str], said: str) -> None:
    experiment = Experiment(DATASET, "2d")
    write(settings, experiment, *FOLDS)
    with pytest.raises(FoldError, match=said):
        usable_experiment(settings, experiment, folds)


def test_a_cascade_whose_stage_is_not_finished_names_the_stage(settings: Settings) -> None:
    write(settings, LOWRES, "fold_0")
    write(settings, CASCADE, *FOLDS)
    with pytest.raises(FoldError, match="3d_lowres") as caught:
        usable_experiment(settings, CASCADE, FOLDS)
    assert "fold_1" in str(caught.value)
