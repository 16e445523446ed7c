"""Where plain nnU-Net can predict with what was chosen, and why not where it cannot."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.selection.best_configuration import BestConfiguration
from nnunet_assets.processes.variables import OWN_TRAINERS
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model import inference_notes
from nnunet_assets.workflows.model.inference_notes import write_inference_notes
from nnunet_assets_tests.core.selection.test_best_configuration import DIFFICULTY, NOISE
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


@pytest.mark.parametrize("name", [INFORMATION, INSTRUCTIONS])
def test_what_nnunet_wrote_itself_stays_and_is_said(settings: Settings, name: str) -> None:
    theirs = settings.roots.results / DATASET / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    assert written(settings, FLAT) == (
        [],
        f"nnU-Net's {INSTRUCTIONS} is not written: {INFORMATION} is one that nnUNetv2_find_best_configuration wrote, "
        f"and stays. Remove it and {INSTRUCTIONS} for what was chosen here.",
    )
    # Nor is it removed with what does not hold any more.
    files, _ = written(settings, SHORT, others=[FLAT])
    assert (theirs.read_text(), len(files)) == ("{}", 2)


def test_our_own_are_written_anew_or_removed_where_they_would_be_wrong(settings: Settings) -> None:
    files, _ = written(settings, FLAT)
    first = files[0].read_text()
    again, reason = written(settings, FLAT, FULLRES)
    assert (again, reason, files[0].read_text() != first) == (files, "", True)
    files[1].unlink()  # as a kill between the two leaves it
    assert written(settings, replace(FLAT, trainer="MyTrainer"), others=[FLAT])[0] == []
    assert not any(file.exists() for file in files)


def test_results_are_those_that_plain_nnunet_sees_beside_what_was_chosen(settings: Settings) -> None:
    experiments = {one.name_in_dataset: one for one in (FLAT, FULLRES, SHORT)}
    for one in (FLAT, FULLRES):
        plans: dict[str, Any] = {"configurations": {one.configuration: {}}}
        write_json(one.model_folder(settings.roots) / "plans.json", plans)
    candidates = [
        model("a", DIFFICULTY - 0.2, members=(FLAT.name_in_dataset,)),
        model("b", DIFFICULTY - 0.2, members=(FLAT.name_in_dataset, SHORT.name_in_dataset)),
        model("c", DIFFICULTY - 0.2, members=(SHORT.name_in_dataset,)),
        model("chosen", DIFFICULTY, 0.03 + NOISE[0] / 4, members=(FULLRES.name_in_dataset,)),
    ]
    found = replace(chosen_of(*candidates), dataset=DATASET)
    assert found.chosen_candidate.steps == ((1,),)
    folds = [*FOLDS, "fold_all"]
    chosen = inference_notes._chosen_models(settings, found, experiments, folds, settings.project / "s.pkl")
    assert set(chosen.results) == {FLAT.name, FULLRES.name}
    assert chosen.folds == (0, 1)
    plain = {one.model: one.mean for one in found.candidates if not one.steps}
    assert chosen.mean_without_steps == plain["chosen"] != chosen.mean
    assert chosen.plans_file == FULLRES.model_folder(settings.roots) / "plans.json"
    assert (chosen.members, chosen.previous, chosen.steps) == ((FULLRES,), {}, ((1,),))


@pytest.mark.parametrize("trainer", ["nnUNetTrainerSliceWise", "nnUNetTrainerMine", "nnUNetTrainerAdam"])
def test_where_nnunet_does_not_have_the_trainer_the_instructions_say_where_it_is(
    settings: Settings, trainer: str
) -> None:
    own = settings.project / "trainers"
    own.mkdir()
    (own / "mine.py").write_text(
        "from nnunet_assets.trainers.nnunet_trainer_tunable import nnUNetTrainerTunable\n"
        "class nnUNetTrainerMine(nnUNetTrainerTunable): pass\n"
    )
    files, _ = written(settings, replace(FLAT, trainer=trainer))

    lines = [line for line in files[1].read_text().splitlines() if line.startswith("export nnUNet_extTrainer=")]
    folders = {
        "nnUNetTrainerSliceWise": [OWN_TRAINERS],
        "nnUNetTrainerMine": [own, OWN_TRAINERS],
        "nnUNetTrainerAdam": None,
    }[trainer]
    assert lines == ([f"export nnUNet_extTrainer={':'.join(map(str, folders))}"] if folders else [])
