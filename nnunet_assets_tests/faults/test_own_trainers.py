"""Real trainings by trainers of this package and of a project: killed, resumed, packed, and predicted with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.checkpoints.checkpoints import FINAL
from nnunet_assets.processes.variables import with_trainers
from nnunet_assets_tests.faults.trials import Trial, resume_and_check
from nnunet_assets_tests.nnunet.training.test_training_options import epochs_of, have_equal_weights
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.training_builders import DATASET, TINY, PhantomProject, fold_processes, roots_in

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset952_Phantom, folds: 2, phantom: {cases: 5}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset952_Phantom
  configuration: 3d_fullres
  device: cpu
  folds: [0]
  trainer: TRAINER
  variant:
    name: own
    num_epochs: 2
    num_iterations_per_epoch: 2
    num_val_iterations_per_epoch: 1
    hyperparameters: HYPERPARAMETERS
"""
OWN = [
    ("nnUNetTrainerSliceWiseBN", {"warmup_batches": 1, "dropout_rate": 0.2}),
    ("nnUNetTrainerMine", {"momentum": 0.9}),
]


@pytest.mark.parametrize("n_epochs", [1, 3, 5])
def test_a_killed_fold_of_a_trainer_of_ours_goes_on(
    make_trial: Callable[..., Trial], said: Callable[..., None], n_epochs: int
) -> None:
    trial = make_trial(trainer="nnUNetTrainerSliceWiseBN", variables=with_trainers({}))
    process = trial.start()
    trial.wait_for(lambda: len(trial.epochs) >= n_epochs)
    for trainer in trial.trainers():
        trainer.send_signal(signal.SIGKILL)
    trial.wait(process)
    said(**resume_and_check(trial))


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomProject:
    project = PhantomProject(roots_in(tmp_path_factory.mktemp("phantom"))).build()
    project.prepare()
    project.narrow()
    return replace(
        project, environment=with_trainers({**os.environ, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"})
    )


@pytest.mark.parametrize("trainer", ["nnUNetTrainerSliceWise", "nnUNetTrainerSliceWiseBN", "nnUNetTrainerTunable"])
def test_a_resumed_training_ends_with_the_very_same_weights(phantom: PhantomProject, trainer: str) -> None:
    chosen: Mapping[str, Any] = {**TINY, "dropout_rate": 0.2, "save_every": 1}
    options = TrainingOptions(seed=5, deterministic=True)
    whole, stopped = (Experiment(DATASET, "3d_fullres", trainer=trainer, variant=name) for name in ("whole", "stopped"))
    phantom.train("fold_0", whole, overrides=chosen, options=options)

    killed: list[int] = []

    def kill() -> None:
        if not killed and epochs_of(phantom, stopped):
            (process,) = fold_processes()
            process.kill()
            killed.append(process.pid)

    phantom.train("fold_0", stopped, overrides=chosen, options=options, progress=RecordedProgress(on_poll=kill))

    assert killed
    assert have_equal_weights(*(phantom.folder("fold_0", one) / FINAL for one in (whole, stopped)))


@pytest.mark.parametrize(("trainer", "chosen"), OWN)
def test_a_project_trains_packs_and_predicts_with_it_as_plain_nnunet_does(
    tmp_path: Path, trainer: str, chosen: Mapping[str, Any]
) -> None:
    declared = DECLARED.replace("TRAINER", trainer).replace("HYPERPARAMETERS", json.dumps(chosen))
    project = write_project(tmp_path / "project", {"defs.yaml": declared})
    if trainer == "nnUNetTrainerMine":
        ours("trainers", "--new", trainer, "--project", project)
    ours("train", "952", "3d_fullres", "0", "-tr", trainer, "--variant", "own", "--project", project)
    name = f"Dataset952_Phantom/own/{trainer}__nnUNetPlans__3d_fullres"
    ours("package", name, "-o", tmp_path / "model.zip", "--project", project)
    images = tmp_path / "images"
    images.mkdir()
    for file in sorted((project / "data" / "nnUNet_raw" / "Dataset952_Phantom" / "imagesTr").iterdir())[:2]:
        shutil.copy(file, images)
    trusted = {"NNUNET_ASSETS_TRUSTED_CODE": trainer}
    words: list[str | Path] = ["-i", images, "-device", "cpu", "--project", project]
    ours("predict", name, *words, "-f", "0", "-o", tmp_path / "of_experiment")
    ours("predict", tmp_path / "model.zip", *words, "-o", tmp_path / "of_zip", **trusted)

    results = project / "data" / "nnUNet_results" / "variants" / "own"
    plain = {
        **os.environ,
        "nnUNet_results": str(results),
        "nnUNet_raw": str(tmp_path),
        "nnUNet_preprocessed": str(tmp_path),
    }
    command = ["nnUNetv2_predict", "-d", "952", "-c", "3d_fullres", "-tr", trainer, "-f", "0", "-device", "cpu"]
    run(
        [Path(sys.executable).with_name(command[0]), *command[1:], "-i", images, "-o", tmp_path / "plain"],
        with_trainers(plain, project / "trainers"),
    )

    masks = [masks_in(tmp_path / folder) for folder in ("of_experiment", "of_zip", "plain")]
    assert len(masks[0]) == 2
    assert masks[0] == masks[1] == masks[2]


def ours(*words: str | Path, **variables: str) -> None:
    run([Path(sys.executable).with_name("nnunet-assets"), *words], {**os.environ, **variables})


def run(command: list[Any], environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        list(map(str, command)), env=dict(environment), capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr


def masks_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.nii.gz"))}
