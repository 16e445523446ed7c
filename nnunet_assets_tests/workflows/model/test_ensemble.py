"""What an ensemble is called, which folds it has, and what is refused before anything is predicted."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import CONFIGURATION_PATTERN, Experiment
from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.ensemble import ensemble_name, make_ensemble, shared_folds
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.project_builders import documents, write_project

DATASET = "Dataset001_Tiny"
PLAIN, FULLRES = Experiment(DATASET, "2d"), Experiment(DATASET, "3d_fullres")
SHORT = replace(PLAIN, variant="short")
DECLARED = documents(
    f"type: nnunet_assets.components.NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 3}}\n",
    "type: nnunet_assets.components.CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 2d, folds: [0, 1]}}\n",
    "type: nnunet_assets.components.CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres}}\n",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


@pytest.mark.parametrize(
    ("members", "pattern"),
    [
        ([FULLRES, PLAIN], "2d-3d_fullres"),
        ([PLAIN, SHORT], r"2d-2d-[0-9a-f]{8}"),
        ([replace(PLAIN, configuration=f"3d_{'x' * 60}"), PLAIN], r"2d-3d_x{42}[-]?x*-[0-9a-f]{8}"),
    ],
)
def test_an_ensemble_is_called_by_its_members_whatever_their_order(members: list[Experiment], pattern: str) -> None:
    name = ensemble_name(members)
    assert re.fullmatch(pattern, name)
    assert name == ensemble_name(members[::-1])
    assert re.fullmatch(CONFIGURATION_PATTERN, name)


def test_members_of_the_same_configurations_have_names_of_their_own() -> None:
    others = [replace(SHORT, variant=name) for name in ("short", "long", "deep")]
    assert len({ensemble_name([PLAIN, other]) for other in others}) == 3


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ([PLAIN], "has two members or more, not 1"),
        ([], "has two members or more, not 0"),
        ([PLAIN, FULLRES, PLAIN], "nnUNetTrainer__nnUNetPlans__2d is a member of the ensemble twice"),
        ([PLAIN, replace(FULLRES, dataset="Dataset002_Other")], "is of another dataset than the ensemble"),
        ([PLAIN, Experiment.ensemble(DATASET, "both")], "is an ensemble, and the members of one are experiments"),
    ],
)
def test_what_is_no_ensemble_is_refused(settings: Settings, members: list[Experiment], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        make_ensemble(settings, DATASET, members, "both", SILENT)


@pytest.mark.parametrize("name", ["a/b", "a__b", "..", "", "x" * 65, "-a", "a b"])
def test_a_name_that_is_no_folder_of_ours_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of an ensemble"):
        make_ensemble(settings, DATASET, [PLAIN, FULLRES], name, SILENT)
    assert not (settings.roots.results / DATASET).exists()


def test_its_folds_are_those_that_all_members_declare(tmp_path: Path) -> None:
    write_project(tmp_path, {"tiny/defs.yaml": DECLARED})
    assert shared_folds(Settings.from_environment(tmp_path, {}), [PLAIN, FULLRES]) == ("fold_0", "fold_1")


def test_its_folds_are_those_that_members_nobody_declares_have_finished(settings: Settings) -> None:
    for experiment, folds in ((PLAIN, ("fold_0", "fold_2", "fold_10")), (SHORT, ("fold_10", "fold_2", "fold_3"))):
        for fold in folds:
            write_fold(settings.roots, experiment, fold, {"a": HIGHER})
    write_fold(settings.roots, PLAIN, "fold_all", {"a": HIGHER})
    write_fold(settings.roots, SHORT, "fold_all", {"a": HIGHER})
    assert shared_folds(settings, [PLAIN, SHORT]) == ("fold_2", "fold_10")


def test_members_that_are_models_of_all_cases_only_have_no_fold_to_be_scored_on(settings: Settings) -> None:
    for experiment in (PLAIN, SHORT):
        write_fold(settings.roots, experiment, "fold_all", {"a": HIGHER})
    with pytest.raises(FoldError, match=r"no fold in common.*fold_all"):
        make_ensemble(settings, DATASET, [PLAIN, SHORT], "both", SILENT)
