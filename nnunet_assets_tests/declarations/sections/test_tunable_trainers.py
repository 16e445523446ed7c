"""What may be chosen of our trainers: the same as they have, told before anything is trained."""

import ast
from pathlib import Path
from typing import Any, get_args

import pytest

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.tunable_trainers import TRAINERS, TunableChoices, problem_with_choices
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
from nnunet_assets.processes.variables import EXTERNAL_TRAINERS, OWN_TRAINERS

PAGE = Path(__file__).parents[3] / "docs" / "trainers.md"
FIELDS: dict[str, Any] = {"dataset": "Dataset004_Hippocampus", "configuration": "2d"}


def test_the_trainers_and_their_choices_are_those_of_the_sources() -> None:
    trees = [ast.parse(file.read_text()) for file in Path(OWN_TRAINERS).glob("nnunet_trainer_*.py")]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    own = {
        target.attr
        for node in ast.walk(next(one for one in classes if one.name == "nnUNetTrainerTunable"))
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Attribute) and target.attr != "inference_allowed_mirroring_axes"
    }

    assert {one.name for one in classes} == TRAINERS
    assert own == set(TunableChoices.model_fields)


@pytest.mark.parametrize("trainer", sorted(TRAINERS))
@pytest.mark.parametrize(
    ("chosen", "sentence"),
    [
        ({"max_lr": 1e-3, "dropout_rate": 0}, None),
        ({"optimizer_name": "adam"}, "hyperparameter optimizer_name is 'adam'; it is to be 'SGD' or 'AdamW'"),
        ({"dropout_rate": 1.0}, "hyperparameter dropout_rate is 1.0; it is to be less than 1"),
        ({"droput_rate": 0.1}, "has no hyperparameter droput_rate. Did you mean dropout_rate? It has optimizer_name"),
        ({"warmup_epochs": 1.5}, "hyperparameter warmup_epochs is 1.5"),
    ],
    ids=str,
)
def test_what_they_do_not_have_is_told(trainer: str, chosen: dict[str, Any], sentence: str | None) -> None:
    problem = problem_with_choices(trainer, chosen)
    assert (problem is None) if sentence is None else (problem is not None and sentence in problem)


def test_nnunets_own_trainer_has_none_of_them_and_another_may_have_any() -> None:
    choices = {"max_lr": 0.1, "anything": 1}
    assert problem_with_choices("nnUNetTrainer", choices) == (
        "`nnUNetTrainer` has no hyperparameter max_lr; write `trainer: nnUNetTrainerTunable`, which has it"
    )
    assert problem_with_choices("nnUNetTrainerMine", choices) is None


def test_an_experiment_looks_at_its_trainers_choices() -> None:
    variant = VariantConfig(name="x", hyperparameters={"loss_function": "focal"})
    with pytest.raises(ValueError, match=r"loss_function is 'focal'; it is to be 'dice_ce', 'dice' or 'ce'"):
        ExperimentConfig(**FIELDS, trainer="nnUNetTrainerTunable", variant=variant)
    assert ExperimentConfig(**FIELDS, trainer="nnUNetTrainerMine", variant=variant).variant == variant


def test_the_words_of_a_choice_are_those_that_the_trainers_know() -> None:
    from nnunet_assets.trainers import nnunet_trainer_tunable as trainers

    known = {
        "optimizer_name": trainers.OPTIMIZERS,
        "lr_schedule": trainers.SCHEDULES,
        "loss_function": trainers.LOSSES,
        "augmentation": trainers.AUGMENTATIONS,
    }
    for name, words in known.items():
        literal, _ = get_args(TunableChoices.model_fields[name].annotation)
        assert set(get_args(literal)) == set(words)


def test_the_page_has_each_choice_with_the_trainers_own() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {name.strip(" `"): own.strip(" `") for name, own in rows if not name.strip(" `").startswith("nnUNet")}
    own = found_trainers({EXTERNAL_TRAINERS: str(OWN_TRAINERS)}).settings("nnUNetTrainerTunable")

    assert told == {**{name: str(value) for name, value in own.items()}, "max_lr": "25 times `initial_lr"}
