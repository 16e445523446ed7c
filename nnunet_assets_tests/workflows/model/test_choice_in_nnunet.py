"""What was chosen, an ensemble with steps, predicted by plain nnU-Net as its notes say, and by this package."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets import api
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment, comparison_folder
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold, read_committed
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.selection.best_configuration import POSTPROCESSED, BestConfiguration
from nnunet_assets.declarations.project import read_project
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.plans.inference_files import postprocessing_pickle
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.best_files import make_best_configuration
from nnunet_assets.workflows.model.inference_notes import write_inference_notes
from nnunet_assets.workflows.model.package import package_model
from nnunet_assets.workflows.model.selected import selected_model
from nnunet_assets_tests.ensemble_builders import add_member
from nnunet_assets_tests.project_builders import documents, write_project
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, PhantomProject

pytestmark = pytest.mark.faults

OTHER = replace(EXPERIMENT, trainer="nnUNetTrainer_5epochs")
STEPS = ((1, 2), (2,))
KIND = "type: nnunet_assets.components."
DECLARED = documents(
    f"{KIND}NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n",
    *(
        f"{KIND}CrossValidationExperiment\nattributes: {{dataset: {DATASET}, configuration: 3d_fullres, trainer: "
        f"{one.trainer}, variant: {{name: tiny, num_epochs: 3}}}}\n"
        for one in (EXPERIMENT, OTHER)
    ),
)


@pytest.fixture(scope="module")
def settings(trained_phantom: PhantomProject, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project of two experiments; the folds of the second are those of the first with noise on their weights."""
    folder = tmp_path_factory.mktemp("chosen")
    project = trained_phantom.copy_to(folder)
    for fold in sorted(add_member(project.roots, OTHER, noise=0.02).glob("fold_*")):
        name_trainer(fold, OTHER.trainer)
    write_project(folder / "project", {"defs.yaml": DECLARED})
    return Settings.from_environment(folder / "project", {**os.environ, **project.roots.environment()})


def name_trainer(fold: Path, trainer: str) -> None:
    """Has a finished fold's checkpoint say that this trainer made it, and commits it as it is now."""
    import torch

    file = fold / FINAL_CHECKPOINT
    torch.save({**torch.load(file, map_location="cpu", weights_only=False), "trainer_name": trainer}, file)
    manifest = read_committed(fold)
    assert manifest is not None
    commit_fold(fold, replace(manifest, files={**manifest.files, FINAL_CHECKPOINT: file_sha256(file)}))


@pytest.fixture(scope="module")
def chosen(settings: Settings) -> BestConfiguration:
    """The choice, as it would be where the ensemble were better, and took two steps: six cases say less."""
    project = read_project(settings.project)
    made = make_best_configuration(settings, project, DATASET, SILENT, makes_summaries=True, makes_ensembles=True)
    (ensemble,) = [one for one in made.found.candidates if len(one.members) > 1 and not one.steps]
    name = f"{ensemble.model}{POSTPROCESSED}"
    with_steps = replace(ensemble, name=name, steps=STEPS)
    others = [one for one in made.found.candidates if one.name != name]
    found = replace(made.found, candidates=(with_steps, *others), chosen=name)
    made.file.write_text(json.dumps(found.to_json()))
    return found


def instructed(settings: Settings, found: BestConfiguration, folder: Path) -> list[list[str]]:
    """Writes nnU-Net's notes and returns the commands in them, with folders in place of the words for them."""
    pickle = comparison_folder(settings.roots, DATASET) / "postprocessing.pkl"
    pickle.write_bytes(postprocessing_pickle(STEPS))
    experiments = {one.name_in_dataset: one for one in (EXPERIMENT, OTHER)}
    files, why_not = write_inference_notes(settings, found, experiments, ["fold_0", "fold_1"], pickle)
    assert why_not == ""
    commands = [line.split() for line in files[1].read_text().splitlines() if line.startswith("nnUNetv2_")]
    words = {word for command in commands for word in command if word.startswith("OUTPUT_FOLDER")}
    places = {**{word: str(folder / word.lower()) for word in words}, "INPUT_FOLDER": str(folder / "images")}
    return [[places.get(word, word) for word in command] for command in commands]


def test_masks_are_those_of_plain_nnunet_by_its_notes(
    settings: Settings, chosen: BestConfiguration, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    for image in sorted((settings.roots.raw / DATASET / "imagesTr").glob("*_0000.nii.gz"))[:2]:
        shutil.copy(image, tmp_path / "images")
    commands = instructed(settings, chosen, tmp_path)
    assert [command[0].removeprefix("nnUNetv2_") for command in commands] == [
        "predict", "predict", "ensemble", "apply_postprocessing",
    ]  # fmt: skip
    environment = {**os.environ, **settings.roots.for_variant("tiny").environment(), "nnUNet_def_n_proc": "1"}
    for command in commands:
        more = ["-device", "cpu", "-npp", "1", "-nps", "1"] if command[0] == "nnUNetv2_predict" else []
        done = subprocess.run(
            [Path(sys.executable).with_name(command[0]), *command[1:], *more],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"

    selected = selected_model(settings, read_project(settings.project), DATASET)
    assert selected.model.postprocessing == STEPS
    package_model(selected.model, selected.about, tmp_path / "package", SILENT)
    api.predict(
        tmp_path / "package", tmp_path / "images", tmp_path / "ours", device="cpu", previews=False, progress=SILENT
    )

    theirs = {path.name: path for path in (tmp_path / "output_folder_pp").glob("*.nii.gz")}
    before = {path.name: path for path in (tmp_path / "output_folder").glob("*.nii.gz")}
    assert len(theirs) == 2
    changed = 0
    for name, path in theirs.items():
        assert (tmp_path / "ours" / name).read_bytes() == path.read_bytes()
        changed += not np.array_equal(read_volume(path).stored, read_volume(before[name]).stored)
    assert changed  # steps that change nothing would prove nothing


def test_a_found_ensemble_is_packed_as_one_of_its_members(chosen: BestConfiguration, settings: Settings) -> None:
    selected = selected_model(settings, read_project(settings.project), DATASET)
    assert {member.experiment for member in selected.model.members} == {EXPERIMENT, OTHER}
    assert (
        Experiment.ensemble(DATASET, chosen.chosen_candidate.model.partition("/")[2])
        .model_folder(settings.roots)
        .is_dir()
    )
