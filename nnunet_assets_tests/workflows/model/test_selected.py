"""The model that was chosen, ready to predict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import selected
from nnunet_assets.workflows.model.best_files import make_best_configuration
from nnunet_assets.workflows.model.selected import SelectedModel, selected_model
from nnunet_assets.workflows.model.usable import FoundMember
from nnunet_assets_tests.comparison_builders import DATASET, roots_of
from nnunet_assets_tests.postprocessing_builders import island_folds, write_folds
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.workflows.model.test_best_files import DECLARED, FLAT


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project whose first experiment is chosen with a step; its checkpoints are not looked at."""
    write_project(tmp_path, {"defs.yaml": DECLARED})
    write_folds(roots_of(tmp_path), FLAT, island_folds([2, 3, 1, 2, 3, 2, 1, 2, 3]))

    def usable_member(of: Settings, experiment: Experiment, folds: Any) -> FoundMember:
        folder = experiment.model_folder(of.roots)
        return FoundMember(
            Member(experiment, folder, tuple(folds), "checkpoint_final.pth"), f"digest of {experiment.name}"
        )

    monkeypatch.setattr(selected, "usable_member", usable_member)
    return Settings.from_environment(tmp_path, {})


def chosen(settings: Settings) -> SelectedModel:
    project = read_project(settings.project)
    make_best_configuration(settings, project, DATASET, makes_summaries=True)
    return selected_model(settings, project, DATASET)


def test_members_steps_and_numbers_are_those_of_the_choice(settings: Settings) -> None:
    found = chosen(settings)
    assert found.experiments == (FLAT,)
    assert found.folds == ("fold_0", "fold_1", "fold_2")
    assert found.model.postprocessing == ((1, 2),)
    assert found.model.title == f"{DATASET} / {FLAT.name} + postprocessing"
    assert {name: number.mean for name, number in found.about.numbers.items()} == {
        "dice": found.best.chosen_candidate.mean,
        "expected_dice": found.best.expected.mean,
    }
    assert found.selection["chosen"] == found.best.chosen
    assert found.selection["expected"]["chosen_without"].keys() == {"fold_0", "fold_1", "fold_2"}


def test_other_steps_make_another_model(settings: Settings) -> None:
    digest = chosen(settings).model.digest
    project = read_project(settings.project)
    make_best_configuration(settings, project, DATASET, with_postprocessing=False)
    assert selected_model(settings, project, DATASET).model.digest != digest


def test_what_was_validated_again_since_is_refused(settings: Settings) -> None:
    chosen(settings)
    write_folds(settings.roots, FLAT, island_folds([2, 3, 1, 2, 3, 2, 1, 2, 4]))
    with pytest.raises(SummaryError, match="was trained or validated again since"):
        selected_model(settings, read_project(settings.project), DATASET)


def test_a_choice_by_another_summary_is_refused(settings: Settings) -> None:
    found = chosen(settings)
    older = replace(found.best, made_of={FLAT.name: "another"})
    with pytest.raises(SummaryError, match="by another summary than it has now"):
        selected._refuse_older(settings, older, FLAT)


def test_what_is_not_declared_any_more_and_no_choice_are_refused(settings: Settings, tmp_path: Path) -> None:
    chosen(settings)
    defs = settings.project / "experiments" / "defs.yaml"
    defs.write_text(DECLARED.replace("configuration: 2d", "configuration: 3d_lowres"))
    with pytest.raises(SummaryError, match="is not declared any more"):
        selected_model(settings, read_project(settings.project), DATASET)
    other = write_project(tmp_path / "other", {"defs.yaml": DECLARED})
    with pytest.raises(SummaryError, match="best_configuration"):
        selected_model(Settings.from_environment(other, {}), read_project(other), DATASET)
