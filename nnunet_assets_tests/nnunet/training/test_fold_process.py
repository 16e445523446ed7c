"""Real nnU-Net trainings of a phantom, tiny and on the CPU: what the fold process promises about a fold on disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.summary.cv_summary import summarize
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.predictions.checked_test_set import read_test_set
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets.nnunet.predictions.prediction import predict_test_set
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.fold_failure import FoldFailed
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import (
    DATASET,
    EXPERIMENT,
    TINY,
    PhantomProject,
    fold_processes,
    roots_in,
)

FOLDS = ["fold_0", "fold_1"]
PREDICTION = "nnunet_assets.nnunet.predictions.prediction_process"
SERIES = {
    "train_loss",
    "val_loss",
    "generalization_gap",
    "pseudo_dice_mean",
    "pseudo_dice_ema",
    "pseudo_dice/organ",
    "pseudo_dice/lesion",
    "learning_rate",
    "epoch_seconds",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A phantom of 6 cases in 2 folds, both trained for 3 epochs. Each test leaves both folds finished."""
    project = PhantomProject(roots_in(tmp_path_factory.mktemp("folds"))).build()
    assert project.prepare().made == ("plans", "3d_fullres")
    for fold in FOLDS:
        assert project.train(fold).is_new
    return project


def journal_of(project, fold):
    return list(read_records(journal_path(project.folder(fold))))


def stamps_of(folder):
    """Returns each file's content and times below a folder."""
    return {
        str(path.relative_to(folder)): (file_sha256(path), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pids_of(trainer):
    return [trainer.pid, *(worker.pid for worker in trainer.children(recursive=True))]


def superseded_of(project):
    return sorted((EXPERIMENT.summary_folder(project.roots) / "superseded").glob("*"))


def cases_of(project, fold):
    splits = json.loads((project.prepared.folder / "splits_final.json").read_text())
    return splits[FOLDS.index(fold)]["val"]


def test_a_trained_fold_is_committed_with_what_made_it(project):
    manifest = read_committed(project.folder("fold_0"), check_files=True)
    assert manifest is not None
    assert (manifest.fold, manifest.device, manifest.n_epochs) == ("fold_0", "cpu", 3)
    assert manifest.inputs.raw_hash == "the raw data"
    assert manifest.inputs.plans_hash == project.prepared.plans("nnUNetPlans").digest
    assert manifest.details["validation_cases"] == cases_of(project, "fold_0")
    assert manifest.details["overrides"] == TINY
    assert set(manifest.seconds) == {"training", "validation"}
    assert manifest.seconds["training"] > 0
    assert {"nnunetv2", "torch", "nnunet_assets"} <= set(manifest.versions)
    assert set(manifest.peak_memory_bytes) == {"host", "largest_worker"}


def test_the_journal_has_the_start_each_epoch_once_with_all_series_and_the_end(project):
    start, *epochs, end = journal_of(project, "fold_0")
    assert start.kind == "start"
    assert start.values["params"]["trainer"]["num_epochs"] == 3
    assert start.values["params"]["overrides"] == TINY
    assert [(record.kind, record.epoch) for record in epochs] == [("epoch", 0), ("epoch", 1), ("epoch", 2)]
    assert all(set(record.values) == SERIES for record in epochs)
    assert end.kind == "end"
    assert set(end.values) == {"val_dice_mean", "val_iou_mean"} | {
        f"{metric}/{label}" for metric in ("val_dice", "val_iou") for label in ("organ", "lesion")
    }


def test_the_fold_is_nnunets_own_with_one_hidden_folder_more(project):
    folder = project.folder("fold_0")
    names = {path.name for path in folder.iterdir() if not path.name.startswith("training_log_")}
    assert names == {
        ".nnunet_assets",
        "checkpoint_best.pth",
        "checkpoint_final.pth",
        "debug.json",
        "progress.png",
        "validation",
    }
    assert {path.name for path in (folder / "validation").iterdir()} == {
        "summary.json",
        *(f"{case}.nii.gz" for case in cases_of(project, "fold_0")),
    }
    assert {path.name for path in folder.parent.iterdir()} >= {"plans.json", "dataset.json", "dataset_fingerprint.json"}
    assert {path.name for path in (folder / ".nnunet_assets").iterdir()} == {
        "COMMIT",
        "checkpoints.json",
        "journal.jsonl",
        "manifest.json",
        "output.log",
        "peak_memory.json",
        "request.json",
        "saved_epochs",
        "versions.json",
    }


def test_the_checkpoint_names_nnunets_own_trainer(project):
    code = "import sys, torch; print(torch.load(sys.argv[1], weights_only=False, map_location='cpu')['trainer_name'])"
    final = project.folder("fold_0") / "checkpoint_final.pth"
    named = subprocess.run([sys.executable, "-c", code, final], capture_output=True, text=True, check=True)
    assert named.stdout.strip() == "nnUNetTrainer"


def test_a_finished_fold_is_adopted_at_once_and_not_a_byte_of_it_changes(project):
    before = stamps_of(project.folder("fold_0"))
    start = time.monotonic()
    outcome = project.train("fold_0")
    assert time.monotonic() - start < 2
    assert not outcome.is_new
    assert outcome.manifest == read_committed(project.folder("fold_0"))
    assert stamps_of(project.folder("fold_0")) == before


def test_preparing_again_makes_nothing(project):
    start = time.monotonic()
    assert project.prepare().made == ()
    assert time.monotonic() - start < 2


def test_a_device_that_is_not_there_is_an_error_and_the_finished_fold_stays_where_it_was(project):
    before = stamps_of(project.folder("fold_1"))
    with pytest.raises(FoldFailed, match=r"Device 'mps' was asked for, but torch .* finds only: .*cpu") as caught:
        project.train("fold_1", retrain=True, device="mps")
    assert caught.value.code == ExitCode.BAD_INPUT
    assert caught.value.is_permanent
    assert stamps_of(project.folder("fold_1")) == before


def test_a_trainer_that_nnunet_does_not_have_is_an_error(project):
    experiment = Experiment(DATASET, "3d_fullres", trainer="nnUNetTrainerTypo", variant="tiny")
    with pytest.raises(FoldFailed, match="nnU-Net has no trainer 'nnUNetTrainerTypo'") as caught:
        project.train("fold_0", experiment)
    assert caught.value.code == ExitCode.BAD_INPUT


def test_a_fold_trained_anew_keeps_the_old_one_and_goes_on_after_a_kill(project):
    folder = project.folder("fold_1")
    before, n_superseded = stamps_of(folder), len(superseded_of(project))
    group: list[int] = []

    def kill_after_the_first_epoch():
        epochs = [record.epoch for record in journal_of(project, "fold_1") if record.kind == "epoch"]
        if epochs and (folder / "checkpoint_best.pth").exists() and not group:
            (trainer,) = fold_processes()
            group.extend(pids_of(trainer))
            trainer.kill()

            (folder / ".checkpoint_latest.pth.part").write_bytes(b"torn")  # what a kill in the middle of a save leaves

    said: list[str] = []
    assert project.train(
        "fold_1", retrain=True, progress=RecordedProgress(said.append, on_poll=kill_after_the_first_epoch)
    ).is_new
    assert len(said) == 1
    assert "was killed (SIGKILL)" in said[0]
    assert "goes on from what is there (restart 1 of 2)" in said[0]
    assert len(group) > 1
    assert living(group) == []
    (old,) = superseded_of(project)[n_superseded:]
    assert stamps_of(old) == before
    assert "resuming after" in (folder / ".nnunet_assets" / "output.log").read_text()
    kinds = Counter((record.kind, record.epoch) for record in journal_of(project, "fold_1"))
    assert kinds == Counter([("start", None), ("epoch", 0), ("epoch", 1), ("epoch", 2), ("end", None)])
    assert not list(folder.glob(".*.part"))
    assert read_committed(folder, check_files=True) is not None


def test_a_fold_that_is_trained_but_not_validated_is_only_validated(project):
    folder = project.folder("fold_0")
    epochs = [record for record in journal_of(project, "fold_0") if record.kind == "epoch"]
    final, seconds = file_sha256(folder / "checkpoint_final.pth"), read_committed(folder).seconds["training"]
    summary = json.loads((folder / "validation" / "summary.json").read_text())
    (folder / ".nnunet_assets" / "COMMIT").unlink()
    (folder / "validation" / "summary.json").unlink()
    of_training = json.loads((folder / ".nnunet_assets" / "peak_memory.json").read_text())
    write_json_atomically(folder / ".nnunet_assets" / "peak_memory.json", {**of_training, "host": 10**15, "gpu": 7})
    # nnU-Net scores whatever lies in the folder.
    (old,) = cases_of(project, "fold_1")[:1]
    (folder / "validation" / f"{old}.nii.gz").write_bytes(
        (folder / "validation" / f"{cases_of(project, 'fold_0')[0]}.nii.gz").read_bytes()
    )
    stopped_at: list[float] = []
    group: list[int] = []

    def stop_while_it_predicts():
        (trainer,) = fold_processes() or [None]
        if trainer and not group and not (folder / "validation" / f"{old}.nii.gz").exists():
            group.extend(pids_of(trainer))
            stopped_at.append(time.monotonic())
            os.killpg(trainer.pid, signal.SIGINT)

    with pytest.raises(FoldFailed, match="was stopped on request") as caught:
        project.train("fold_0", progress=RecordedProgress(on_poll=stop_while_it_predicts))
    assert time.monotonic() - stopped_at[0] < 10
    assert caught.value.code == ExitCode.STOPPED
    assert living(group) == []

    manifest = project.train("fold_0").manifest
    assert file_sha256(folder / "checkpoint_final.pth") == final
    assert [record for record in journal_of(project, "fold_0") if record.kind == "epoch"] == epochs
    assert manifest.seconds["training"] == seconds
    assert (manifest.peak_memory_bytes["host"], manifest.peak_memory_bytes["gpu"]) == (10**15, 7)
    scored = json.loads((folder / "validation" / "summary.json").read_text())
    assert scored["mean"] == summary["mean"]
    assert len(scored["metric_per_case"]) == len(cases_of(project, "fold_0"))


def run_nnunet(project, folder, commands):
    """Runs nnU-Net's own commands side by side, each with its arguments."""
    variables = project.roots.for_variant(EXPERIMENT.variant).environment()
    environment = {**os.environ, **variables, "nnUNet_def_n_proc": "1"}
    running = {}
    for command, arguments in commands.items():
        with (folder / f"{command}.log").open("wb") as log:
            program = Path(sys.executable).with_name(command)
            running[command] = subprocess.Popen([program, *arguments], env=environment, stdout=log, stderr=log)
    for command, process in running.items():
        assert process.wait(timeout=300) == 0, (folder / f"{command}.log").read_text()[-2000:]


def predict_arguments(project, case):
    """Returns the arguments that predict the first case into `case/out`, but for the folds."""
    image = "phantom_000_0000.nii.gz"
    (case / image).symlink_to(project.roots.raw / DATASET / "imagesTr" / image)
    model = ["-d", DATASET, "-c", "3d_fullres", "-chk", "checkpoint_final.pth"]
    return ["-i", case, "-o", case / "out", *model, "-device", "cpu", "-npp", "1", "-nps", "1"]


@pytest.fixture(scope="module")
def commands(project, tmp_path_factory):
    """The output folder of nnU-Net's own predict and find_best_configuration, run on the folds as they are."""
    case = tmp_path_factory.mktemp("case")
    predict = [*predict_arguments(project, case), "-f", "0", "--disable_tta"]
    find = [DATASET, "-c", "3d_fullres", "-f", "0", "1", "--disable_ensembling", "-np", "1"]
    run_nnunet(project, case, {"nnUNetv2_predict": predict, "nnUNetv2_find_best_configuration": find})
    return case / "out"


def test_nnunet_predicts_with_the_fold_as_it_is(commands):
    assert (commands / "phantom_000.nii.gz").stat().st_size > 0


@pytest.mark.faults
def test_the_test_set_is_predicted_as_nnunet_does_and_goes_on_after_a_kill(project, tmp_path):
    raw = project.roots.raw / DATASET
    (raw / "imagesTs").mkdir()
    for number in range(3):
        shutil.copyfile(raw / "imagesTr" / "phantom_000_0000.nii.gz", raw / "imagesTs" / f"new_{number}_0000.nii.gz")
    ensemble = finished_ensemble(project.roots, EXPERIMENT, FOLDS)
    test_set = read_test_set(project.roots, DATASET, parse_dataset_json(ensemble.folder / "dataset.json"))
    group: list[int] = []

    class StopAfterTheFirstCase(Silent):
        def step(self, what, n_done, n):
            assert (what, n) == ("cases predicted", 3)
            if n_done and not group:
                (child,) = [one for one in psutil.Process().children() if PREDICTION in one.cmdline()]
                group.extend(pids_of(child))
                os.killpg(child.pid, signal.SIGINT)

    def predict(progress):
        wanted = {"device": "cpu", "environment": project.environment, "progress": progress}
        return predict_test_set(ensemble, test_set, ".nii.gz", project.roots, **wanted)

    with pytest.raises(FoldFailed, match="was stopped on request") as caught:
        predict(StopAfterTheFirstCase())
    assert caught.value.code == ExitCode.STOPPED
    assert living(group) == []

    predicted = predict(Silent())
    assert predicted.n_predicted == 2
    assert predicted.device == "cpu"
    assert predict(Silent()).n_predicted == 0
    run_nnunet(project, tmp_path, {"nnUNetv2_predict": [*predict_arguments(project, tmp_path), "-f", "0", "1"]})
    theirs = read_volume(tmp_path / "out" / "phantom_000.nii.gz")
    for number in range(3):
        ours = read_volume(predicted.folder / f"new_{number}.nii.gz")
        assert np.array_equal(ours.stored, theirs.stored)
        assert np.allclose(ours.header.get_best_affine(), theirs.header.get_best_affine())


def test_the_pooled_means_are_those_that_nnunet_accumulates(project, commands):
    folds = collect_fold_results(project.roots, EXPERIMENT, FOLDS)
    ours = summarize(EXPERIMENT, FOLDS, folds)
    model = EXPERIMENT.model_folder(project.roots)
    theirs = json.loads((model / "crossval_results_folds_0_1" / "summary.json").read_text())
    assert len(theirs["metric_per_case"]) == ours.n_cases == project.n_cases
    for name, key in {"organ": "1", "lesion": "2"}.items():
        assert ours.labels[name].dice.pooled.mean == pytest.approx(theirs["mean"][key]["Dice"], abs=1e-12)
        assert ours.labels[name].iou.pooled.mean == pytest.approx(theirs["mean"][key]["IoU"], abs=1e-12)
    assert ours.foreground.dice.pooled.mean == pytest.approx(theirs["foreground_mean"]["Dice"], abs=1e-12)
