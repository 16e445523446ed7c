"""Real nnU-Net trainings of a phantom, tiny and on the CPU: what the fold process promises about a fold on disk.

What it leaves of a training without an interruption is in `fakes/test_fold_child.py`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.nnunet.images.nifti import read_volume
from nnunet_assets.nnunet.predictions.checked_test_set import read_test_set
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets.nnunet.predictions.prediction import predict_test_set
from nnunet_assets.nnunet.results.results import collect_fold_results
from nnunet_assets.nnunet.training.validation_passes import TILE_STEP_SIZE, n_windows
from nnunet_assets.processes.child import run_child
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.fakes.test_fold_child import check_that_it_went_on_after_a_kill
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, FOLDS, fold_processes

PREDICTION = "nnunet_assets.nnunet.predictions.prediction_process"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, trained_phantom: Any) -> Any:
    """A phantom of 6 cases in 2 folds, both trained for 3 epochs. Each test leaves both folds finished."""
    return trained_phantom.copy_to(tmp_path_factory.mktemp("folds"))


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the parent of a fold look at it every tenth of a second: so small a training is over in a few."""
    monkeypatch.setitem(run_child.__kwdefaults__, "poll_seconds", 0.1)


def journal_of(project: Any, fold: Any) -> Any:
    return list(read_records(journal_path(project.folder(fold))))


def stamps_of(folder: Any) -> Any:
    """Returns each file's content and times below a folder."""
    return {
        str(path.relative_to(folder)): (file_sha256(path), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pids_of(trainer: Any) -> Any:
    return [trainer.pid, *(worker.pid for worker in trainer.children(recursive=True))]


def superseded_of(project: Any) -> Any:
    return sorted((EXPERIMENT.summary_folder(project.roots) / "superseded").glob("*"))


def cases_of(project: Any, fold: Any) -> Any:
    splits = json.loads((project.prepared.folder / "splits_final.json").read_text())
    return splits[FOLDS.index(fold)]["val"]


def test_the_checkpoint_names_nnunets_own_trainer(project: Any) -> None:
    import torch

    final = project.folder("fold_0") / "checkpoint_final.pth"
    assert torch.load(final, weights_only=False, map_location="cpu")["trainer_name"] == "nnUNetTrainer"


def test_a_finished_fold_is_adopted_at_once_and_not_a_byte_of_it_changes(project: Any) -> None:
    before = stamps_of(project.folder("fold_0"))
    outcome = project.train("fold_0")
    assert not outcome.is_new
    assert outcome.manifest == read_committed(project.folder("fold_0"))
    assert stamps_of(project.folder("fold_0")) == before


def test_the_work_of_the_validation_is_counted_as_nnunet_does_it(project: Any) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    work = ValidationWork.read(project.folder("fold_0"))
    assert work
    assert sorted(work.passes) == sorted(cases_of(project, "fold_0"))
    assert {n % 8 for n in work.passes.values()} == {0}  # mirrored along three axes
    assert (work.device, work.epoch_passes > 0) == ("cpu", True)
    for shape, patch in (((40, 61, 28), (20, 32, 28)), ((9, 33, 100), (20, 32, 28)), ((7, 65, 40), (64, 64))):
        of_nnunet = SimpleNamespace(
            configuration_manager=SimpleNamespace(patch_size=patch), tile_step_size=TILE_STEP_SIZE, verbose=False
        )
        padded = tuple(map(max, shape, (0, *patch)[-3:]))
        assert n_windows(shape, patch) == len(nnUNetPredictor._internal_get_sliding_window_slicers(of_nnunet, padded))


def test_preparing_again_makes_nothing(project: Any) -> None:
    assert project.prepare().made == ()


@pytest.mark.usefixtures("_looks_often")
def test_a_fold_trained_anew_keeps_the_old_one_and_goes_on_after_a_kill(project: Any) -> None:
    folder = project.folder("fold_1")
    before, n_superseded = stamps_of(folder), len(superseded_of(project))
    group: list[int] = []

    def kill_after_the_first_epoch() -> None:
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
    assert len(group) > 1
    assert living(group) == []
    (old,) = superseded_of(project)[n_superseded:]
    assert stamps_of(old) == before
    output = (folder / ".nnunet_assets" / "output.log").read_text()
    check_that_it_went_on_after_a_kill(said, journal_of(project, "fold_1"), output)
    assert not list(folder.glob(".*.part"))
    assert read_committed(folder, check_files=True) is not None


@pytest.mark.usefixtures("_looks_often")
def test_a_fold_that_is_trained_but_not_validated_is_only_validated(project: Any) -> None:
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

    def stop_while_it_predicts() -> None:
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


@pytest.fixture(scope="module")
def read_by_nnunet(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Where plain nnU-Net left what it makes of the folds as they are: a case predicted, and their scores together."""
    out = tmp_path_factory.mktemp("read_by_nnunet")
    image = project.roots.raw / DATASET / "imagesTr" / "phantom_000_0000.nii.gz"
    model = str(EXPERIMENT.model_folder(project.roots))
    with nnunet_in_process(project.roots.for_variant(EXPERIMENT.variant).environment()):
        import torch
        from nnunetv2.evaluation.accumulate_cv_results import accumulate_cv_results
        from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        on_cpu = {"perform_everything_on_device": False, "device": torch.device("cpu")}
        predictor = nnUNetPredictor(use_mirroring=False, **on_cpu)
        predictor.initialize_from_trained_model_folder(model, (0,), "checkpoint_final.pth")
        np.save(out / "predicted.npy", predictor.predict_single_npy_array(*SimpleITKIO().read_images([str(image)])))
        accumulate_cv_results(model, str(out / "accumulated"), (0, 1), num_processes=1)
    return out


def test_nnunet_predicts_with_the_fold_as_it_is(project: Any, read_by_nnunet: Any) -> None:
    predicted = np.load(read_by_nnunet / "predicted.npy")
    image = read_volume(project.roots.raw / DATASET / "imagesTr" / "phantom_000_0000.nii.gz")
    assert predicted.shape == image.stored.shape[::-1]
    assert set(np.unique(predicted)) <= {0, 1, 2}


@pytest.mark.faults
def test_the_test_set_is_predicted_as_nnunet_does_and_goes_on_after_a_kill(project: Any, tmp_path: Path) -> None:
    raw = project.roots.raw / DATASET
    (raw / "imagesTs").mkdir()
    for number in range(3):
        shutil.copyfile(raw / "imagesTr" / "phantom_000_0000.nii.gz", raw / "imagesTs" / f"new_{number}_0000.nii.gz")
    ensemble = finished_ensemble(project.roots, EXPERIMENT, FOLDS)
    test_set = read_test_set(project.roots, DATASET, parse_dataset_json(ensemble.folder / "dataset.json"))
    group: list[int] = []

    class StopAfterTheFirstCase(Silent):
        def step(self, what: Any, n_done: int, n: Any, share: Any = None) -> None:
            assert (what, n) == ("cases predicted", 3)
            if n_done and not group:
                (child,) = [one for one in psutil.Process().children() if PREDICTION in one.cmdline()]
                group.extend(pids_of(child))
                os.killpg(child.pid, signal.SIGINT)

    def predict(progress: Any) -> Any:
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
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "phantom_000_0000.nii.gz").symlink_to(raw / "imagesTr" / "phantom_000_0000.nii.gz")
    model = ["-d", DATASET, "-c", "3d_fullres", "-f", "0", "1", "-chk", "checkpoint_final.pth"]
    places = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    cpu = ["-device", "cpu", "-npp", "1", "-nps", "1"]
    subprocess.run(
        [str(Path(sys.executable).with_name("nnUNetv2_predict")), *places, *model, *cpu],
        env={**os.environ, **project.roots.for_variant(EXPERIMENT.variant).environment()},
        check=True,
        capture_output=True,
    )
    theirs = read_volume(tmp_path / "out" / "phantom_000.nii.gz")
    for number in range(3):
        ours = read_volume(predicted.folder / f"new_{number}.nii.gz")
        assert np.array_equal(ours.stored, theirs.stored)
        assert np.allclose(ours.header.get_best_affine(), theirs.header.get_best_affine())


def test_the_pooled_means_are_those_that_nnunet_accumulates(project: Any, read_by_nnunet: Any) -> None:
    folds = collect_fold_results(project.roots, EXPERIMENT, FOLDS)
    ours = summarize(EXPERIMENT, FOLDS, folds)
    theirs = json.loads((read_by_nnunet / "accumulated" / "summary.json").read_text())
    assert len(theirs["metric_per_case"]) == ours.n_cases == project.n_cases
    for name, key in {"organ": "1", "lesion": "2"}.items():
        assert ours.labels[name].dice.pooled.mean == pytest.approx(theirs["mean"][key]["Dice"], abs=1e-12)
        assert ours.labels[name].iou.pooled.mean == pytest.approx(theirs["mean"][key]["IoU"], abs=1e-12)
    assert ours.foreground.dice.pooled.mean == pytest.approx(theirs["foreground_mean"]["Dice"], abs=1e-12)
