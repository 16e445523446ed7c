"""What a value may be, and what is said where it is not."""

from pathlib import Path

import pytest
from dagster._core.definitions.utils import is_valid_owner
from pydantic import ValidationError

from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import read_project
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, errors_of, write_project


def variant_errors(root: Path, field: str) -> list[str]:
    """Returns the errors of a variant with one field, which stands at line 11."""
    experiment = EXPERIMENT + f"  variant:\n    name: short\n    {field}\n"
    return errors_of(root, {"defs.yaml": documents(DATASET, experiment)})


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        # What YAML 1.1 makes of numbers.
        ("num_epochs: 010", "num_epochs: YAML reads 010 as 8, since a leading 0 means octal. Write 8 or 10."),
        (
            "num_epochs: 1:30",
            "num_epochs: YAML reads 1:30 as a number in base 60. Put it in quotes, or write the number in full.",
        ),
        (
            "initial_lr: 1e-3",
            "initial_lr: must be a number, not 1e-3. YAML reads 1e-3 as text: write 1.0e-3.",
        ),
        (
            "initial_lr: 2.5E1",
            "initial_lr: must be a number, not 2.5E1. YAML reads 2.5E1 as text: write 2.5e+1.",
        ),
        ("initial_lr: 0,01", "initial_lr: must be a number, not 0,01. YAML reads 0,01 as text: write 0.01."),
        ("num_epochs: 1e2", "num_epochs: must be a whole number, not 1e2. Write 100."),
        ("num_epochs: 100.0", "num_epochs: must be a whole number, not 100.0. Write 100."),
        # Quotes.
        ('num_epochs: "100"', "num_epochs: must be a whole number, not '100'. Write 100."),
        ('initial_lr: "0.1"', "initial_lr: must be a number, not '0.1'. Remove the quotes."),
        (
            "enable_deep_supervision: 'true'",
            "enable_deep_supervision: must be true or false, not 'true'. Remove the quotes.",
        ),
        # Wrong types and ranges.
        ("num_epochs: true", "num_epochs: must be a whole number, not true."),
        ("num_epochs: [1]", "num_epochs: must be a whole number, not a list."),
        ("num_epochs: 0", "num_epochs: 0 is out of range: it must be at least 1."),
        ("initial_lr: 0", "initial_lr: 0 is out of range: it must be more than 0."),
        ("weight_decay: 1.5", "weight_decay: 1.5 is out of range: it must be at most 1."),
        ("initial_lr: .nan", "initial_lr: .nan is wrong: Input should be a finite number."),
        ("enable_deep_supervision: 1", "enable_deep_supervision: must be true or false, not 1."),
        # Keys.
        (
            "num_epoch: 100",
            "num_epoch: is not a field here. Did you mean num_epochs? Fields: name, num_epochs, "
            "num_iterations_per_epoch, num_val_iterations_per_epoch, initial_lr, weight_decay, "
            "oversample_foreground_percent, probabilistic_oversampling, enable_deep_supervision, save_every, "
            "batch_size, patch_size, hyperparameters, continues, pretrained_weights, seed, deterministic, patience, "
            "restore_best.",
        ),
        # Beside the hyperparameters.
        ("seed: -1", "seed: -1 is out of range: it must be at least 0."),
        ("seed: 4294967296", "seed: 4294967296 is out of range: it must be less than 4.29497e+09."),
        ("patience: 0", "patience: 0 is out of range: it must be at least 1."),
        ("deterministic: 1", "deterministic: must be true or false, not 1."),
        (
            "pretrained_weights: 3",
            "pretrained_weights: must be text, not 3. YAML reads 3 as the number 3: put it in qu",
        ),
        # Attributes of a trainer of one's own.
        (
            "hyperparameters: {num_epochs: 3}",
            "hyperparameters: num_epochs is a field of the variant itself; write it there.",
        ),
        ("hyperparameters: {max-lr: 3}", "hyperparameters: 'max-lr' is not the name of a trainer's attribute."),
        ("hyperparameters: {lrs: [1]}", "hyperparameters: lrs must be a number, a text, true or false."),
        ("hyperparameters: {lr: .inf}", "hyperparameters: lr must be a finite number, not inf."),
        (
            "hyperparameters: {lr: 1e-3}",
            "hyperparameters: lr is the text '1e-3', which looks like a number. YAML takes",
        ),
    ],
)
def test_a_wrong_value_of_a_variant_is_explained(tmp_path: Path, field: str, sentence: str) -> None:
    (error,) = variant_errors(tmp_path, field)

    assert error.startswith(f"defs.yaml:11: attributes.variant.{sentence}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("initial_lr: 1", 1.0),
        ("initial_lr: 1.0e-3", 0.001),
        ("num_epochs: 1_000", 1000),
        ("num_epochs: 07", 7),
        ("enable_deep_supervision: no", False),
    ],
)
def test_a_value_that_can_mean_one_thing_only_is_taken(tmp_path: Path, field: str, value: object) -> None:
    experiment = EXPERIMENT + f"  variant:\n    name: short\n    {field}\n"
    project = read_project(write_project(tmp_path, {"defs.yaml": documents(DATASET, experiment)}))

    variant = project.experiments[0].variant

    assert variant is not None
    assert variant.overrides() == {field.partition(":")[0]: value}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("trainr: x", "trainr: is not a field here. Did you mean trainer? Fields: dataset, configuration, plans, "),
        ("device: gpu", "device: gpu is not allowed. Did you mean cuda? Allowed: auto, cuda, cpu, mps."),
        (
            "description: 2024",
            "description: must be text, not 2024. YAML reads 2024 as the number 2024: put it in quot",
        ),
        ("description: NO", "description: must be text, not NO. YAML reads NO as false: put it in quotes."),
        ("folds: 0", "folds: must be a list, such as [0, 1], not 0."),
        ("folds: []", "folds: the list is empty; leave it out for every fold of the dataset, or name at least one."),
        ("folds: [1, 0, 1]", "folds: fold 1 is listed more than once."),
        ("folds: [-1]", "folds[0]: -1 is out of range: it must be at least 0."),
        ("folds: [0.5]", "folds[0]: must be a whole number, not 0.5."),
        ("folds: [a]", "folds[0]: must be a whole number, not a."),
        ("folds: [fold_0]", "folds[0]: must be a whole number, not fold_0."),
        (
            "plans: nnUNet__Plans",
            "plans: 'nnUNet__Plans' must not hold '__' nor end with '_': nnU-Net splits its folder",
        ),
        (
            "plans: ../x",
            "plans: ../x is not a name of at most 64 letters, digits, '.', '_' or '-' that starts with a le",
        ),
        ("trainer: my-trainer", "trainer: my-trainer is not the name of a Python class, at most 100 characters."),
        ("variant: short", "variant: must be a block of fields, one `name: value` a line, not short."),
        ("variant: {num_epochs: 3}", "variant.name: is missing. The variant's name; its results lie apart from the"),
        ("variant: {name: x}", "variant: variant 'x' overrides nothing; leave it out, or set at least one hyperparam"),
        ("owners: [me]", "owners[0]: 'me' is neither an e-mail address nor of the form team:NAME."),
        ("num_gpus: 0", "num_gpus: 0 is out of range: it must be at least 1."),
        ("npz: 1", "npz: must be true or false, not 1."),
        ("checkpoint_minutes: 0", "checkpoint_minutes: 0 is out of range: it must be more than 0."),
        ("time_budget_minutes: -5", "time_budget_minutes: -5 is out of range: it must be more than 0."),
        ("NO: 1", "NO: YAML does not read the key NO as text. Put it in quotes."),
        (
            "plans: a\n  plans: b",
            "plans: is given twice, first at line 9; Dagster would take the last. Keep the one that is right.",
        ),
    ],
)
def test_a_wrong_field_of_an_experiment_is_explained(tmp_path: Path, line: str, sentence: str) -> None:
    errors = errors_of(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT + f"  {line}\n")})

    assert len(errors) == 1
    place = f"defs.yaml:{9 + line.count(chr(10))}: attributes."
    assert errors[0].startswith(f"{place}{sentence}"), errors[0]


def test_what_contradicts_itself_is_refused_where_it_is_declared(tmp_path: Path) -> None:
    several = EXPERIMENT + "  num_gpus: 2\n  device: cpu\n"

    assert errors_of(tmp_path, {"defs.yaml": documents(DATASET, several)}) == [
        "defs.yaml:6: attributes: num_gpus is 2, and the device is 'cpu': nnU-Net trains on several GPUs with CUDA "
        "only. Set the device to cuda, or num_gpus to 1."
    ]


def test_attributes_that_are_missing_or_no_block(tmp_path: Path) -> None:
    kind = "type: nnunet_assets.components.NnunetDataset\n"

    assert errors_of(tmp_path, {"defs.yaml": kind}) == [
        "defs.yaml:1: attributes.dataset: is missing. nnU-Net's dataset name, such as Dataset004_Hippocampus."
    ]
    assert errors_of(tmp_path, {"defs.yaml": kind + "attributes: [1]\n"}) == [
        "defs.yaml:2: attributes: must be a block of fields, one `name: value` a line. Remove the `- ` at the "
        "beginning of its lines."
    ]


def test_a_phantom_needs_a_case_for_each_fold(tmp_path: Path) -> None:
    dataset = DATASET + "  folds: 10\n  phantom: {cases: 5}\n"

    assert errors_of(tmp_path, {"defs.yaml": dataset}) == [
        "defs.yaml:2: attributes: 5 phantom cases do not fill 10 folds; generate more of them."
    ]


def test_digits_are_those_that_nnunet_reads(tmp_path: Path) -> None:
    (error,) = errors_of(tmp_path, {"defs.yaml": DATASET.replace("004", "٠٠٤")})

    assert "Dataset٠٠٤_Hippocampus is not nnU-Net's form" in error


@pytest.mark.parametrize("owner", ["a@b.org", "team:x", "team:", "me", "a@b", "x a@b.org", "team: x", "a@b.toolong-x"])
def test_owners_are_those_that_dagster_takes(owner: str) -> None:
    try:
        is_taken = bool(DatasetConfig(dataset="Dataset004_Hippocampus", owners=[owner]))
    except ValidationError:
        is_taken = False

    assert is_taken == is_valid_owner(owner)
