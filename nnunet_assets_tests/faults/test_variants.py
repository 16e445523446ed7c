"""Variants really trained: with a batch size of their own, gone on with, and with numbered checkpoints."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import Manifest, read_committed
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.checkpoints.checkpoints import FINAL
from nnunet_assets.nnunet.folds.continued import continued_fold
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.watching.tensorboard_logger import tensorboard_folder
from nnunet_assets_tests.faults.test_own_trainers import masks_in, run
from nnunet_assets_tests.nnunet.training.test_training_options import epochs_of, have_equal_weights
from nnunet_assets_tests.nnunet.watching.test_watcher import shown, steps
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.training_builders import DATASET, TINY, PhantomProject, fold_processes, roots_in

pytestmark = [pytest.mark.faults, *MLFLOW_WARNINGS]

PHANTOM = "Dataset952_Phantom"
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
  variant: {name: short, num_epochs: 2, num_iterations_per_epoch: 2, num_val_iterations_per_epoch: 1, batch_size: 3}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset952_Phantom
  configuration: 3d_fullres
  device: cpu
  folds: [0]
  checkpoint_every: 1
  checkpoints_kept: 2
  tensorboard: true
  variant:
    name: longer
    continues: short
    num_epochs: 5
    num_iterations_per_epoch: 2
    num_val_iterations_per_epoch: 1
    batch_size: 3
"""
LONGER = Experiment(PHANTOM, "3d_fullres", plans="nnUNetPlans_bs3", variant="longer")


def ours(*words: str | Path, rc: int = 0) -> str:
    command = [str(Path(sys.executable).with_name("nnunet-assets")), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stdout + done.stderr


def train(project: Path, variant: str, rc: int = 0) -> str:
    return ours("train", "952", "3d_fullres", "0", "--variant", variant, "--project", project, rc=rc)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose variant `longer` continues `short`, both trained."""
    project = write_project(tmp_path_factory.mktemp("variants"), {"defs.yaml": DECLARED})
    refused = train(project, "longer", rc=1)
    assert "is to be continued and is not finished (it was not begun)" in refused
    assert (
        "Train it first: `nnunet-assets train Dataset952_Phantom 3d_fullres 0 -p nnUNetPlans_bs3 --variant" in refused
    )
    assert not (project / "data" / "nnUNet_preprocessed").exists()  # hours of it, for nothing
    train(project, "short")
    said = train(project, "longer")
    assert "going on with Dataset952_Phantom / short / nnUNetTrainer__nnUNetPlans_bs3__3d_fullres, fold_0 after" in said
    return project


def fold_of(project: Path) -> tuple[Path, Manifest]:
    results = project / "data" / "nnUNet_results" / "variants"
    folder = results / "longer" / PHANTOM / LONGER.name / "fold_0"
    manifest = read_committed(folder, check_files=True)
    assert manifest
    return folder, manifest


def test_a_continuation_has_one_curve_and_its_parent_in_its_record(project: Path) -> None:
    folder, manifest = fold_of(project)
    parent = folder.parents[3] / "short" / PHANTOM / LONGER.name / "fold_0"
    curves = [[r for r in read_records(journal_path(one)) if r.kind == "epoch"] for one in (parent, folder)]

    assert [record.epoch for record in curves[1]] == [0, 1, 2, 3, 4]
    assert curves[1][:2] == curves[0]
    times = [record.time_ms for record in read_records(journal_path(folder))]
    assert times == sorted(times)
    assert manifest.n_epochs == 5
    own = sum(record.values["epoch_seconds"] for record in curves[1][2:])
    assert manifest.seconds["training"] == pytest.approx(own, abs=0.01)
    assert shown_by_tensorboard(folder) == pytest.approx([one.values["train_loss"] for one in curves[1]])
    before = read_committed(parent)
    assert before
    assert manifest.details["continues"]["checkpoint_sha256"] == before.files[FINAL]
    assert manifest.details["continues"]["n_epochs"] == 2


def shown_by_tensorboard(folder: Path) -> list[float]:
    """Returns the losses that TensorBoard shows of a fold, which are of each epoch from the first on."""
    points = shown(tensorboard_folder(folder)).Scalars("train_loss")
    assert steps(points) == list(range(len(points)))
    return [point.value for point in points]


def test_mlflow_has_each_epoch_of_both_once_and_names_the_parent(project: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'data' / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string=f"name = '{PHANTOM}'")
    runs = client.search_runs([experiment.experiment_id], "tags.`nnunet_assets.variant` = 'longer'")

    (fold,) = [run for run in runs if run.data.tags["nnunet_assets.run_type"] == "fold"]
    history = client.get_metric_history(fold.info.run_id, "train_loss")
    assert sorted(point.step for point in history) == [0, 1, 2, 3, 4]
    assert fold.data.tags["nnunet_assets.continues"].startswith(f"{PHANTOM} / short / ")
    assert fold.data.params["continues/n_epochs"] == "2"
    said = ours("train", "--from-run", fold.info.run_id, "--project", project)  # refuses what is not the same training
    assert f"going on with {PHANTOM} / short / " in said


def test_numbered_checkpoints_stay_the_newest_two_and_nnunet_predicts_with_them(project: Path, tmp_path: Path) -> None:
    folder, _ = fold_of(project)
    assert sorted(path.name for path in folder.glob("checkpoint_epoch_*")) == [
        "checkpoint_epoch_0004.pth",
        "checkpoint_epoch_0005.pth",
    ]
    assert masks_in(plain_prediction(project, tmp_path, "-chk", "checkpoint_epoch_0004.pth"))


def test_plain_nnunet_and_a_package_predict_with_the_derived_plans(project: Path, tmp_path: Path) -> None:
    name = f"{PHANTOM}/longer/{LONGER.name}"
    ours("package", name, "-o", tmp_path / "model.zip", "--project", project)
    with zipfile.ZipFile(tmp_path / "model.zip") as packed:
        (plans,) = [json.loads(packed.read(one)) for one in packed.namelist() if one.endswith("plans.json")]
        (model,) = [json.loads(packed.read(one)) for one in packed.namelist() if one.endswith("model.json")]
    assert plans["plans_name"] == "nnUNetPlans_bs3"
    assert plans["configurations"]["3d_fullres"]["batch_size"] == 3
    assert any("continues the training of Dataset952_Phantom / short" in note for note in model["notes"])
    plain = plain_prediction(project, tmp_path)
    images = tmp_path / "images"
    ours(
        "predict", tmp_path / "model.zip", "-i", images, "-device", "cpu", "-o", tmp_path / "zip", "--project", project
    )

    assert len(masks_in(plain)) == 1
    assert masks_in(plain) == masks_in(tmp_path / "zip")


def plain_prediction(project: Path, tmp_path: Path, *words: str) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    first = min((project / "data" / "nnUNet_raw" / PHANTOM / "imagesTr").iterdir())
    shutil.copy(first, images)
    results = project / "data" / "nnUNet_results" / "variants" / "longer"
    variables = {**os.environ, "nnUNet_results": str(results)}
    variables |= {name: str(tmp_path) for name in ("nnUNet_raw", "nnUNet_preprocessed")}
    command = ["nnUNetv2_predict", "-d", "952", "-c", "3d_fullres", "-p", LONGER.plans, "-f", "0", "-device", "cpu"]
    program = Path(sys.executable).with_name(command[0])
    run([program, *command[1:], "-i", images, "-o", tmp_path / "plain", *words], variables)
    return tmp_path / "plain"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomProject:
    project = PhantomProject(roots_in(tmp_path_factory.mktemp("phantom"))).build()
    project.prepare()
    project.narrow()
    return replace(project, environment={**os.environ, "nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1"})


def go_on(
    phantom: PhantomProject,
    parent: Experiment,
    child: Experiment,
    chosen: Mapping[str, Any],
    progress: Progress = SILENT,
) -> None:
    dataset = dataset_of(phantom.roots, child)
    continued = continued_fold(dataset, parent, "fold_0")
    inputs = fold_inputs(dataset, child, "fold_0", continued.training_hash)
    options = TrainingOptions(seed=5, deterministic=True, tensorboard=True)
    request = FoldRequest(child, "fold_0", chosen, "cpu", inputs, None, options, continued=continued)
    run_fold(request, phantom.roots, environment=phantom.environment, progress=progress)


@pytest.mark.parametrize("n_epochs", [2, 3])
def test_a_killed_continuation_ends_with_the_very_weights_of_one_that_was_not(
    phantom: PhantomProject, n_epochs: int
) -> None:
    parent, whole = (Experiment(DATASET, "3d_fullres", variant=name) for name in ("parent", "whole"))
    stopped = replace(whole, variant=f"stopped_{n_epochs}")
    phantom.train("fold_0", parent, overrides={**TINY, "num_epochs": 2}, options=TrainingOptions(seed=5))
    chosen = {**TINY, "num_epochs": 5, "save_every": 1}
    go_on(phantom, parent, whole, chosen)

    killed: list[int] = []

    def kill() -> None:
        if not killed and len(epochs_of(phantom, stopped)) > n_epochs:
            (process,) = fold_processes()
            process.kill()
            killed.append(process.pid)

    go_on(phantom, parent, stopped, chosen, RecordedProgress(on_poll=kill))

    assert killed
    assert have_equal_weights(*(phantom.folder("fold_0", one) / FINAL for one in (whole, stopped)))
    assert [record.epoch for record in epochs_of(phantom, stopped)] == [*range(5)]
    assert shown_by_tensorboard(phantom.folder("fold_0", stopped)) == shown_by_tensorboard(
        phantom.folder("fold_0", whole)
    )
