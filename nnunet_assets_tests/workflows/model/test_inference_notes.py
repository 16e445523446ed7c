"""Where plain nnU-Net can predict with what was chosen, and why not where it cannot."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.selection.best_configuration import BestConfiguration
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.inference_notes import write_inference_notes
from nnunet_assets_tests.core.selection.test_best_configuration import DIFFICULTY
from nnunet_assets_tests.core.selection.test_selecting import chosen_of, model
from nnunet_assets_tests.raw_builders import write_json

DATASET = "Dataset001_Tiny"
FOLDS = ["fold_0", "fold_1"]
INFORMATION, INSTRUCTIONS = "inference_information.json", "inference_instructions.txt"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


def written(settings: Settings, *members: Experiment, others: Any = ()) -> tuple[list[Path], str]:
    """Writes the notes of a choice of these members, beside others."""
    for one in members:
        plans: dict[str, Any] = {"configurations": {"3d_lowres": {}, one.configuration: {}}}
        if one.configuration == "3d_cascade_fullres":
            plans["configurations"][one.configuration] = {"previous_stage": "3d_lowres"}
        write_json(one.model_folder(settings.roots) / "plans.json", plans)
    names = tuple(one.name_in_dataset for one in members)
    found: BestConfiguration = chosen_of(model("chosen", DIFFICULTY, members=names))
    experiments = {one.name_in_dataset: one for one in (*members, *others)}
    return write_inference_notes(
        settings, replace(found, dataset=DATASET), experiments, FOLDS, settings.project / "s.pkl"
    )


FLAT, FULLRES = Experiment(DATASET, "2d"), Experiment(DATASET, "3d_fullres")
SHORT = replace(FLAT, variant="short")


def test_an_ensemble_of_one_folder_of_results_is_said(settings: Settings) -> None:
    files, reason = written(settings, FLAT, FULLRES)
    assert [file.name for file in files] == [INFORMATION, INSTRUCTIONS]
    assert reason == ""
    said = json.loads(files[0].read_text())
    assert list(said["all_results"]) == [f"ensemble___{FLAT.name}___{FULLRES.name}___0_1"]
    assert "nnUNetv2_ensemble -i OUTPUT_FOLDER_MODEL_1 OUTPUT_FOLDER_MODEL_2" in files[1].read_text()


def test_a_variant_alone_is_said_in_its_own_folder(settings: Settings) -> None:
    files, _ = written(settings, SHORT)
    assert {file.parent for file in files} == {settings.roots.results / "variants/short" / DATASET}


def test_members_of_two_folders_are_not_said_and_why(settings: Settings) -> None:
    files, reason = written(settings, FLAT, SHORT)
    assert files == []
    assert "lie in different nnUNet_results folders" in reason


def test_a_trainer_that_plain_nnunet_lacks_is_not_said_and_why(settings: Settings) -> None:
    assert "plain nnU-Net has no trainer MyTrainer" in written(settings, replace(FLAT, trainer="MyTrainer"))[1]


def test_notes_that_do_not_hold_any_more_are_removed(settings: Settings) -> None:
    files, _ = written(settings, FLAT)
    assert all(file.is_file() for file in files)
    variants, _ = written(settings, SHORT, others=[FLAT])
    assert not any(file.exists() for file in files)
    written(settings, replace(FLAT, trainer="MyTrainer"), others=[SHORT, FLAT])
    assert not any(file.exists() for file in variants)


def test_the_stage_before_a_cascade_is_said(settings: Settings) -> None:
    files, _ = written(settings, Experiment(DATASET, "3d_cascade_fullres"))
    assert "-o OUTPUT_FOLDER_PREV_STAGE -f  0 1 -tr nnUNetTrainer -c 3d_lowres" in files[1].read_text()
