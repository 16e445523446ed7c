"""Declared ensembles: which experiments their words name, and what is refused with file and line."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets_tests.project_builders import documents, write_project

DATASET, OTHER = "Dataset004_Hippocampus", "Dataset005_Prostate"
KIND = "type: nnunet_assets.components."
DATASETS = (
    f"{KIND}NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 3}}\n",
    f"{KIND}NnunetDataset\nattributes: {{dataset: {OTHER}}}\n",
)
EXPERIMENTS = (
    f"{KIND}CrossValidationExperiment\nattributes: {{dataset: {DATASET}, configuration: 2d}}\n",
    f"{KIND}CrossValidationExperiment\nattributes: {{dataset: {DATASET}, configuration: 3d_fullres, folds: [0, 2]}}\n",
    f"{KIND}CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 2d, variant: {{name: short, num_epochs: 5}}}}\n",
    f"{KIND}CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 3d_lowres, folds: [1], disable_checkpointing: true}}\n",
    f"{KIND}CrossValidationExperiment\nattributes: {{dataset: {OTHER}, configuration: 3d_fullres, trainer: Mine}}\n",
)
PLAIN, FULLRES = Experiment(DATASET, "2d"), Experiment(DATASET, "3d_fullres")
SHORT = Experiment(DATASET, "2d", variant="short")


def ensemble(members: str, name: str = "both", dataset: str = DATASET) -> str:
    return f"{KIND}Ensemble\nattributes:\n  dataset: {dataset}\n  name: {name}\n  members: {members}\n"


def project_with(folder: Path, *ensembles: str) -> Path:
    return write_project(
        folder, {"a/defs.yaml": documents(*DATASETS, *EXPERIMENTS), "b/defs.yaml": documents(*ensembles)}
    )


@pytest.mark.parametrize(
    ("members", "expected", "folds"),
    [
        ("[3d_fullres, 2d]", (PLAIN, FULLRES), ["fold_0", "fold_2"]),
        ("[short, 2d]", (PLAIN, SHORT), ["fold_0", "fold_1", "fold_2"]),
        ("[short 2d, nnUNetTrainer__nnUNetPlans__3d_fullres]", (FULLRES, SHORT), ["fold_0", "fold_2"]),
        (f"[{DATASET}/short/nnUNetTrainer__nnUNetPlans__2d, 4 3d_fullres]", (FULLRES, SHORT), ["fold_0", "fold_2"]),
    ],
)
def test_members_are_the_experiments_that_have_their_words(
    tmp_path: Path, members: str, expected: tuple[Experiment, ...], folds: list[str]
) -> None:
    project = read_project(project_with(tmp_path, ensemble(members)))
    (config,) = project.ensembles_of(DATASET)
    assert set(project.members[config.identity]) == set(expected)
    assert list(project.members[config.identity]) == sorted(expected, key=lambda one: one.name_in_dataset)
    assert project.folds_of_ensemble(config) == folds
    assert project.cross_validations_of(DATASET)[config.identity] == folds
    assert project.is_plain


@pytest.mark.parametrize(
    ("declared", "line", "sentence"),
    [
        ([ensemble("[2d]")], 5, "attributes.members: an ensemble has two members or more, not 1"),
        ([ensemble("[]")], 5, "two members or more, not 0"),
        ([ensemble("[2d, 2d]")], 5, "'2d' is listed more than once"),
        ([ensemble("[short, short 2d]")], 5, "is short/nnUNetTrainer__nnUNetPlans__2d, which another member"),
        ([ensemble("[2d, 3d_fulres]")], 5, "is no declared experiment of .* Did you mean 3d_fullres?"),
        ([ensemble("[nnUNetPlans, 2d]")], 5, "'nnUNetPlans' may mean nnUNetTrainer__nnUNetPlans__"),
        ([ensemble("[2d, Mine]")], 5, "Dataset005_Prostate / Mine__.* is of another dataset than the ensemble"),
        ([ensemble("[2d, 3d_lowres]")], 5, "3d_lowres has `disable_checkpointing`"),
        ([ensemble("[3d_fullres, 3d_lowres]")], 5, "the members train no fold in common"),
        ([ensemble("2d")], 5, "must be a list, such as .2d, 3d_fullres"),
        ([ensemble("[2d, short]", name="a__b")], 4, "must not hold '__'"),
        ([ensemble("[2d, short]", name="a/b")], 4, "is not a name of at most 64"),
        ([ensemble("[2d, short]", dataset="Dataset006_Lung")], 3, "Dataset006_Lung is not declared"),
        (
            [ensemble("[2d, short]"), ensemble("[2d, 3d_fullres]", name="Both")],
            10,
            "attributes.name: .* is already declared at experiments/b/defs.yaml:1",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    tmp_path: Path, declared: list[str], line: int, sentence: str
) -> None:
    with pytest.raises(ConfigError, match=rf"b/defs\.yaml:{line}: .*{sentence}"):
        read_project(project_with(tmp_path, *declared))


def test_an_experiment_that_is_wrong_itself_is_not_missed_as_a_member(tmp_path: Path) -> None:
    wrong = f"{KIND}CrossValidationExperiment\nattributes: {{dataset: {DATASET}, configuration: 3d_full, folds: [7]}}\n"
    with pytest.raises(ConfigError) as caught:
        read_project(project_with(tmp_path, wrong, ensemble("[2d, 3d_full]")))
    assert "is no declared experiment" not in str(caught.value)


def test_plans_are_not_called_as_the_folder_of_ensembles_is(tmp_path: Path) -> None:
    taken = f"{KIND}CrossValidationExperiment\n"
    taken += f"attributes: {{dataset: {DATASET}, configuration: 2d, trainer: ensembles, plans: ensembles}}\n"
    with pytest.raises(ConfigError, match=r"attributes\.plans: 'ensembles' is where the results of ensembles lie"):
        read_project(project_with(tmp_path, taken))
