"""What a search must not say, each with its line."""

from pathlib import Path

import pytest

from nnunet_assets.declarations.project import read_project
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project

SEARCH = """
type: nnunet_assets.components.Search
attributes:
  name: lr
  of: {{dataset: Dataset004_Hippocampus, configuration: 2d, trainer: {trainer}}}
  space: {space}
  sampler: {sampler}
  fold: {fold}
  budget: {budget}
"""
BUDGET = "{trials: 4, max_epochs: 9, min_epochs: 3}"


def search(
    space: str = "{initial_lr: {log: [1.0e-4, 1.0e-1]}}",
    *,
    budget: str = BUDGET,
    sampler: str = "tpe",
    fold: int = 0,
    trainer: str = "nnUNetTrainerTunable",
) -> str:
    return SEARCH.format(space=space, budget=budget, sampler=sampler, fold=fold, trainer=trainer)


def error_of(root: Path, text: str) -> str:
    (error,) = errors_of(root, {"defs.yaml": documents(DATASET, text)})
    return error.removeprefix("defs.yaml:")


def test_a_search_is_read_with_its_space(tmp_path: Path) -> None:
    space = "{initial_lr: {log: [1.0e-4, 1.0e-1]}, optimizer_name: {choice: [SGD, AdamW]}, seed: 7}"
    project = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, search(space))}))
    (config,) = project.searches
    assert [one.name for one in config.declared_space.dimensions] == ["initial_lr", "optimizer_name"]
    trial = config.trial(3, {"initial_lr": 0.01, "optimizer_name": "AdamW"})
    assert trial.identity.title == "Dataset004_Hippocampus / lr_003 / nnUNetTrainerTunable__nnUNetPlans__2d"
    assert trial.variant.overrides() == {"num_epochs": 9, "initial_lr": 0.01, "optimizer_name": "AdamW"}
    assert trial.options(tmp_path).seed == 7
    assert project.configurations_of("Dataset004_Hippocampus", "nnUNetPlans") == ["2d"]


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        ("{}", "9: attributes.space: varies nothing."),
        ("{initial_lr: 0.01}", "9: attributes.space: varies nothing."),
        ("[initial_lr]", "9: attributes.space: must be values by name, one `name: value` a line, not a list."),
        ("{initial_lr: {uniform: [0.1, .inf]}}", "uniform[1]: .inf is wrong: Input should be a finite number."),
        ("{optimizer_name: {choice: [SGD]}}", "9: attributes.space: has one point,"),
        ("{initial_lr: {log: [0.01, 0.01]}}", "9: attributes.space: has one point,"),
        ("{dropout_rate: {choice: [0, 0.5, 0.0]}}", "choice: 0.0 is listed more than once."),
        ("{initial_lr: {uniform: [0.1, 0.001]}}", "uniform: the range is upside down: write [0.001, 0.1]."),
        ("{initial_lr: {log: [0.0, 0.1]}}", "log: a logarithmic range begins above 0, not at 0."),
        ("{initial_lr: {log: [0.1]}}", "log: a range has a lower and an upper bound, such as [0, 1], not 1 values."),
        ("{initial_lr: {log: [0.001, 0.1], uniform: [0.0, 1.0]}}", "here are log and uniform."),
        ("{initial_lr: {loguniform: [0.001, 0.1]}}", "loguniform: is not a field here."),
        ("{initial_lr: [0.001, 0.1]}", "initial_lr: is a list. What is to be chosen from is a `choice`"),
        ("{initial_lr: {log: [0.001, 100.0]}}", "initial_lr: no trial can have 100.0: Input should be less"),
        ("{optimizer_name: {choice: [SGD, Adam]}}", "optimizer_name: no trial can have 'Adam':"),
        ("{learning_rate: {uniform: [0.1, 0.2]}}", "learning_rate: nnUNetTrainerTunable has no such setting."),
        ("{num_epochs: {int: [3, 9]}}", "num_epochs: is not for a space: every trial has the whole schedule"),
        ("{patience: {int: [3, 9]}}", "patience: is not for a space:"),
        ("{warmup_epochs: {int: [0, 100000000000000000]}}", "int[1]: 100000000000000000 is out of range"),
        ("{dropout_rate: {choice: [null, 0.5]}}", "no trial can have None: dropout_rate must be a number, a text,"),
        ("{seed: {int: [0, 2]}}", "12: attributes.budget.trials: 4 trials are asked for, and the space has 3 points."),
        (
            "{warmup_epochs: {int: [0, 9], when: {lr_schedule: cosine}}}",
            "warmup_epochs.when.lr_schedule: is no choice of this space that stands before warmup_epochs.",
        ),
        (
            "{lr_schedule: {choice: [poly, cosine]}, warmup_epochs: {int: [0, 9], when: {lr_schedule: OneCycle}}}",
            "when.lr_schedule: 'OneCycle' is not among what lr_schedule may be: poly, cosine.",
        ),
        (
            "{lr_schedule: {choice: [poly, cosine]}, warmup_epochs: {int: [0, 9], when: {lr_schedule: []}}}",
            "when.lr_schedule: is an empty list, so that warmup_epochs would be part of no trial.",
        ),
    ],
)
def test_what_is_wrong_with_a_space_is_told_where_it_stands(tmp_path: Path, space: str, problem: str) -> None:
    assert problem in error_of(tmp_path, search(space))


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ("{max_epochs: 9}", "budget.trials: is missing: only of a grid is it known"),
        ("{trials: 0, max_epochs: 9}", "budget.trials: 0 is out of range: it must be at least 1."),
        ("{trials: 3}", "budget.max_epochs: is missing."),
        ("{trials: 3, max_epochs: 9, min_epochs: 9}", "so that no trial could be stopped before its end"),
        ("{trials: 3, max_epochs: 9, hours: 0}", "budget.hours: 0 is out of range"),
        ("{trials: 3, max_epochs: 9, reduction: 1}", "budget.reduction: 1 is out of range"),
    ],
)
def test_a_budget_must_be_enough_for_a_trial(tmp_path: Path, budget: str, problem: str) -> None:
    assert problem in error_of(tmp_path, search(budget=budget))


def test_a_grid_has_no_range_of_numbers_and_may_leave_its_number_of_trials_out(tmp_path: Path) -> None:
    error = error_of(tmp_path, search(sampler="grid", budget="{max_epochs: 9}"))
    assert "initial_lr: is a range of numbers, of which there is no grid" in error
    space = "{lr_schedule: {choice: [poly, cosine]}, warmup_epochs: {int: [0, 2], when: {lr_schedule: cosine}}}"
    text = search(space, sampler="grid", budget="{max_epochs: 9}")
    (config,) = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, text)})).searches
    assert config.n_trials == 4  # poly, and cosine with 0, 1 or 2 epochs


def test_two_searches_of_one_name_are_told(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, search(), search())})
    assert "a search lr of Dataset004_Hippocampus is already declared at" in error


def test_a_fold_and_a_dataset_must_be_there(tmp_path: Path) -> None:
    assert "attributes.fold: fold 5 does not exist: Dataset004_Hippocampus has 5 folds, 0 to 4." in error_of(
        tmp_path, search(fold=5)
    )
    (error,) = errors_of(tmp_path / "other", {"defs.yaml": documents(search())})
    assert "of.dataset: Dataset004_Hippocampus is not declared." in error


def test_a_variant_must_not_have_the_name_of_a_trial(tmp_path: Path) -> None:
    variant = EXPERIMENT + "  variant: {name: lr_001, num_epochs: 3}\n"
    (error,) = errors_of(tmp_path, {"defs.yaml": documents(DATASET, variant, search())})
    assert "attributes.name: the variant lr_001 at" in error


def test_an_adopted_trial_stays_one_when_the_space_is_changed(tmp_path: Path) -> None:
    before, after = (
        search(f"{{initial_lr: {{choice: {values}}}, deterministic: false}}") for values in ([1, 2], [3, 4, 5, 6])
    )
    adopted = EXPERIMENT.replace("attributes:", "attributes:\n  trainer: nnUNetTrainerTunable") + (
        "  variant: {name: lr_001, num_epochs: 9, initial_lr: 2}\n"
    )
    for text in (before.replace("trials: 4", "trials: 2"), after):
        project = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, adopted, text)}))
        assert len(project.searches) == 1


def test_a_configuration_must_be_one_without_an_earlier_stage(tmp_path: Path) -> None:
    text = search().replace("configuration: 2d", "configuration: 3d_cascade_fullres")
    assert "of.configuration: 3d_cascade_fullres reads the predictions" in error_of(tmp_path, text)
    text = search().replace("configuration: 2d", "configuration: 3d_fulres")
    assert "of.configuration: " in error_of(tmp_path, text)


def test_a_setting_that_default_trainer_takes_from_another_is_told_with_that_trainer(tmp_path: Path) -> None:
    error = error_of(tmp_path, search("{dropout_rate: {uniform: [0.0, 0.5]}}", trainer="nnUNetTrainer"))
    assert "`nnUNetTrainer` has no hyperparameter dropout_rate; write `trainer: nnUNetTrainerTunable`" in error


def test_batch_and_patch_are_settings_as_others(tmp_path: Path) -> None:
    space = "{patch_size: {choice: [[32, 32], [64, 48]]}, batch_size: {int: [2, 16]}}"
    (config,) = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, search(space))})).searches
    one, other = (config.trial(0, {"patch_size": patch, "batch_size": 2}) for patch in ([32, 32], [64, 48]))
    assert one.identity.plans != other.identity.plans
    assert config.is_like_a_trial(other)
    text = search("{patch_size: {choice: [[32, 32, 32, 32], [64, 48]]}}")
    assert "patch_size: no trial can have [32, 32, 32, 32]" in error_of(tmp_path, text)
