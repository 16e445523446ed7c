"""What a declared experiment asks of a training, and by which digest its folds are known."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig

HIPPOCAMPUS = "Dataset004_Hippocampus"
PROJECT = Path("/project")


def experiment(variant: dict[str, Any] | None = None, **fields: Any) -> ExperimentConfig:
    wanted = {"dataset": HIPPOCAMPUS, "configuration": "3d_fullres", **fields}
    return ExperimentConfig(**wanted, variant=VariantConfig(name="short", **variant) if variant else None)


def test_what_is_not_declared_is_as_the_options_have_it() -> None:
    assert experiment().options(PROJECT) == TrainingOptions()


def test_what_is_declared_becomes_options() -> None:
    fields: dict[str, Any] = {
        "num_gpus": 2,
        "npz": True,
        "checkpoint_minutes": 5.0,
        "time_budget_minutes": 600.0,
        "tensorboard": True,
    }

    declared = experiment({"seed": 0, "patience": 50}, disable_checkpointing=True, **fields)

    assert declared.options(PROJECT) == TrainingOptions(seed=0, patience=50, disable_checkpointing=True, **fields)


def test_what_is_to_be_watched_becomes_an_option_and_comes_back_from_the_record_of_one() -> None:
    watched = {"batches": True, "histograms_every": 5, "panels": 4, "panels_every": 2, "tb_prefix": "night"}
    declared = experiment(tensorboard=True, watch={**watched, "comment": "Does it fit?"})

    options = declared.options(PROJECT)

    assert options.watch == Watch(False, True, 5, 4, 2, "night", "Does it fit?")
    assert experiment(tensorboard=True, watch=asdict(options.watch)).options(PROJECT) == options
    assert experiment(watch=asdict(Watch())).options(PROJECT) == TrainingOptions()


@pytest.mark.parametrize(
    ("watch", "problem"),
    [
        ({"panels": 17}, "less than or equal to 16"),
        ({"panels": -1}, "greater than or equal to 0"),
        ({"panels_every": 0}, "greater than or equal to 1"),
        ({"histograms_every": 0}, "greater than or equal to 1"),
        ({"histograms_every": 5}, "which TensorBoard alone shows, and tensorboard is not set"),
        ({"tb_prefix": "a/b"}, "match"),
        ({"tb_prefix": "../x"}, "match"),
        ({"tb_prefix": "batches"}, "take another name"),
        ({"comment": ""}, "at least 1"),
        ({"batch": True}, "Extra inputs"),
        ({"batches": "often"}, "valid boolean"),
    ],
)
def test_what_cannot_be_watched_is_refused(watch: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        experiment(watch=watch)


def test_a_test_set_is_not_predicted_without_checkpoints() -> None:
    with pytest.raises(ValueError, match="`disable_checkpointing` writes none"):
        experiment(test_set=True, disable_checkpointing=True)


@pytest.mark.parametrize(
    ("declared", "path"), [("weights/a.pth", "/project/weights/a.pth"), ("/shared/a.pth", "/shared/a.pth")]
)
def test_weights_are_found_from_the_projects_folder(declared: str, path: str) -> None:
    options = experiment({"pretrained_weights": declared}).options(PROJECT)
    assert options == replace(TrainingOptions(), pretrained_weights=path)


def test_the_hyperparameters_of_a_trainer_of_ones_own_are_overrides_like_the_others() -> None:
    variant = VariantConfig(name="own", num_epochs=3, hyperparameters={"max_lr": 0.1, "loss": "dice", "amp": False})

    assert variant.overrides() == {"num_epochs": 3, "max_lr": 0.1, "loss": "dice", "amp": False}
    assert variant.options() == {}


@pytest.mark.parametrize(
    ("config", "digest"),
    [
        (experiment(configuration="2d"), "06c05eaa3f4aee9493ab4ca2b15b36586f92c41a41be0ae9c105c59d8edcbca9"),
        (
            experiment({"num_epochs": 5, "initial_lr": 0.1}),
            "3816991bbf617c44ac28040e5e4e03b94b97d392392a3afd36f0eb9577487ac5",
        ),
    ],
    ids=["the trainer's own", "overrides"],
)
def test_folds_of_the_first_release_keep_their_digest(config: ExperimentConfig, digest: str) -> None:
    assert config.training_hash() == digest


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 0},
        {"deterministic": True},
        {"patience": 50},
        {"pretrained_weights": "a"},
        {"hyperparameters": {"a": 1}},
    ],
)
def test_what_changes_the_result_changes_the_digest(change: dict[str, Any]) -> None:
    assert experiment({"num_epochs": 5, **change}).training_hash() != experiment({"num_epochs": 5}).training_hash()


@pytest.mark.parametrize(
    "change",
    [
        {"num_gpus": 2},
        {"npz": True},
        {"disable_checkpointing": True},
        {"checkpoint_minutes": 1.0},
        {"tensorboard": True},
        {"watch": {"batches": True, "panels": 2}},
        {"time_budget_minutes": 9.0},
        {"test_set": True},
    ],
)
def test_what_does_not_change_the_result_leaves_the_digest(change: dict[str, Any]) -> None:
    assert experiment(**change).training_hash() == experiment().training_hash()


def test_weights_count_by_their_content_where_it_is_known() -> None:
    here, there = experiment({"pretrained_weights": "a.pth"}), experiment({"pretrained_weights": "/b/a.pth"})

    assert here.training_hash() != there.training_hash()
    assert here.training_hash("5ca1ab1e") == there.training_hash("5ca1ab1e")
    assert here.training_hash("5ca1ab1e") != here.training_hash("c0ffee")
