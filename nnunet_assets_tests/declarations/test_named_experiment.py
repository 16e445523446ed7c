import re
from pathlib import Path

import pytest

from nnunet_assets.declarations.named_experiment import experiment_named, folds_named
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets_tests.project_builders import documents, write_project

DATASET = "type: nnunet_assets.components.NnunetDataset\nattributes: {dataset: %s}\n"
EXPERIMENT = "type: nnunet_assets.components.CrossValidationExperiment\nattributes: {dataset: %s}\n"
EXPERIMENTS = (
    "Dataset004_Hippocampus, configuration: 2d",
    "Dataset004_Hippocampus, configuration: 3d_fullres",
    "Dataset004_Hippocampus, configuration: 3d_fullres, folds: [0, 2], variant: {name: short, num_epochs: 5}",
    "Dataset041_Liver, configuration: 2d, plans: myPlans, full_model: true",
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    datasets = [DATASET % name for name in ("Dataset004_Hippocampus", "Dataset041_Liver")]
    text = documents(*datasets, *(EXPERIMENT % experiment for experiment in EXPERIMENTS))
    return read_project(write_project(tmp_path, {"a/defs.yaml": text}))


@pytest.mark.parametrize(
    ("words", "index"),
    [
        ("4 2d", 0),
        ("004 3d_fullres", 1),  # the one without a variant
        ("nnUNetTrainer__nnUNetPlans__3d_fullres", 1),
        ("short", 2),
        ("Dataset004_Hippocampus / short / nnUNetTrainer__nnUNetPlans__3d_fullres", 2),
        ("Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__3d_fullres", 2),
        ("41", 3),
        ("myPlans", 3),
    ],
)
def test_as_many_words_as_tell_it_from_the_others(project: Project, words: str, index: int) -> None:
    for given in ([words], words.split()):
        assert experiment_named(given, project) is project.experiments[index]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], r"None is named where 4 experiments may be meant\. Name one of them:\n  Dataset004_Hippocampus / nnU"),
        (["2d"], "'2d' is said where 2 experiments may be meant"),
        (["shrt"], r"declares no experiment 'shrt'. Did you mean short\? There are:\n  Dataset004"),
        (["41", "short"], r"declares no experiment '41 short'\. There are:"),
    ],
)
def test_what_is_not_told_is_asked_for_with_the_choice(project: Project, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        experiment_named(words, project)


def test_a_project_without_experiments_says_so(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path} declares no experiment.")):
        experiment_named(["2d"], read_project(tmp_path))


def test_folds_are_those_that_the_experiment_declares(project: Project) -> None:
    short = project.experiments[2]
    assert folds_named(None, short, project) == ["fold_0", "fold_2"]
    assert folds_named("2, fold_0", short, project) == ["fold_0", "fold_2"]
    with pytest.raises(ConfigError, match=r"short / nnUNetTrainer__.* has no fold_1\. It declares fold_0, fold_2\."):
        folds_named("0,1", short, project)
    with pytest.raises(ConfigError, match="FOLD is 'x'"):
        folds_named("x", short, project)
