"""Real trainings of a phantom by two processes on a CPU: what a fold promises, it promises there too."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from nnunet_assets.core.files.layout import STOP_FILE
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.checkpoints.checkpoints import FINAL
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.rank_builders import CPU_RANKS, RANKS_EXPERIMENT, TRAINER, ranks_below, with_cpu_ranks
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import DATASET, TINY, fold_processes

TWO = TrainingOptions(num_gpus=2)
EACH_EPOCH = {**TINY, "save_every": 1}
MANY = {**EACH_EPOCH, "num_epochs": 500}
FOLD = "fold_0"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_phantom: Any) -> Any:
    """A phantom of 6 cases in 2 folds, prepared."""
    folder = tmp_path_factory.mktemp("ranks")
    return with_cpu_ranks(prepared_phantom.copy_to(folder), folder / "trainers")


@pytest.fixture(scope="module")
def folder(project: Any) -> Any:
    """A fold that two processes trained for two epochs."""
    project.train(FOLD, RANKS_EXPERIMENT, overrides={**TINY, "num_epochs": 2}, options=TWO)
    return project.folder(FOLD, RANKS_EXPERIMENT)


def variant(name: Any) -> Any:
    return replace(RANKS_EXPERIMENT, variant=name)


def records_of(folder: Any) -> Any:
    return list(read_records(journal_path(folder)))


def epochs_of(folder: Any) -> Any:
    return [record.epoch for record in records_of(folder) if record.kind == "epoch"]


def in_checkpoint(checkpoint: Any, expression: Any) -> Any:
    code = "import sys, torch; c = torch.load(sys.argv[1], weights_only=False, map_location='cpu'); "
    command = [sys.executable, "-c", f"{code}print({expression})", checkpoint]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_two_processes_bring_a_fold_to_its_commit_with_each_epoch_and_each_case_once(project: Any, folder: Any) -> None:
    manifest = read_committed(folder, check_files=True)
    assert manifest is not None
    assert (manifest.n_epochs, manifest.device) == (2, "cpu")
    assert manifest.details["options"]["num_gpus"] == 2
    kinds = [(record.kind, record.epoch) for record in records_of(folder)]
    assert kinds == [("start", None), ("epoch", 0), ("epoch", 1), ("end", None)]
    scored = json.loads((folder / "validation" / "summary.json").read_text())["metric_per_case"]
    cases = sorted(Path(case["prediction_file"]).name.removesuffix(".nii.gz") for case in scored)
    assert cases == sorted(manifest.details["validation_cases"])
    output = (folder / ".nnunet_assets" / "output.log").read_text()
    assert f"{FOLD} on 2 x cpu: 2 epochs of 2 iterations" in output
    assert [output.count(f"{case}, shape") for case in cases] == [1, 1, 1]
    assert output.count(", rank 1") == 1


def test_what_two_processes_leave_is_what_one_leaves(folder: Any) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    logs = {name for name in names if name.startswith("training_log_")}
    assert len(logs) == 1
    own = ["COMMIT", "checkpoints.json", "journal.jsonl", "manifest.json", "output.log", "peak_memory.json"]
    own += ["request.json", "saved_epochs", "validation_work.json", "versions.json"]
    cases = [f"validation/{case}.nii.gz" for case in read_committed(folder).details["validation_cases"]]
    assert names - logs == {
        *(f".nnunet_assets/{name}" for name in own),
        *cases,
        *("checkpoint_best.pth", FINAL, "debug.json", "progress.png", "validation/summary.json"),
    }


def test_the_parameters_are_those_of_the_whole_training_and_not_of_a_rank(folder: Any) -> None:
    params = records_of(folder)[0].values["params"]
    assert params["data"]["batch_size"] == params["plans"]["batch_size"] == 2
    assert params["trainer"]["oversample_foreground_percent"] == 0.33
    assert params["options"]["num_gpus"] == 2


# --- trials -------------------------------------------------------------------------------------------------------


@pytest.mark.faults
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_trainer_that_says_nothing_is_not_trained_by_several_processes_on_a_cpu(project: Any, device: str) -> None:
    if device == "auto" and pytest.importorskip("torch").cuda.is_available():
        pytest.skip("auto is a GPU here")
    experiment = replace(RANKS_EXPERIMENT, trainer="nnUNetTrainer")
    with pytest.raises(FoldFailed, match="num_gpus is 2, and the device is 'cpu': nnU-Net trains on several") as caught:
        project.train(FOLD, experiment, device=device, options=TWO)
    assert caught.value.code == ExitCode.BAD_INPUT


@pytest.mark.faults
def test_nnunet_predicts_and_goes_on_with_what_two_processes_trained(project: Any, folder: Any, tmp_path: Path) -> None:
    image = "phantom_000_0000.nii.gz"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / image).symlink_to(project.roots.raw / DATASET / "imagesTr" / image)
    environment = {**project.environment, **project.roots.for_variant("ranks").environment()}
    model = ["-d", DATASET, "-c", "3d_fullres", "-tr", TRAINER, "-f", "0", "-device", "cpu", "--disable_tta"]
    predict = [
        str(Path(sys.executable).with_name("nnUNetv2_predict")),
        "-i",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        *model,
    ]
    subprocess.run([*predict, "-npp", "1", "-nps", "1"], env=environment, check=True, capture_output=True)
    assert (tmp_path / "out" / "phantom_000.nii.gz").stat().st_size > 0
    assert in_checkpoint(folder / FINAL, "c['trainer_name']") == TRAINER
    assert in_checkpoint(folder / FINAL, "any(name.startswith('module.') for name in c['network_weights'])") == "False"


@pytest.mark.faults
@pytest.mark.parametrize("number", [0, 1])
def test_a_rank_that_is_killed_takes_all_along_and_the_fold_goes_on_from_its_last_checkpoint(
    project: Any, number: int
) -> None:
    experiment = variant(f"killed_{number}")
    folder, seen = project.folder(FOLD, experiment), {}
    group: list[Any] = []

    def kill() -> None:
        if not group and len(epochs_of(folder)) >= 2 and (folder / "checkpoint_latest.pth").exists():
            (fold,) = fold_processes()
            group.extend([fold.pid, *(process.pid for process in fold.children(recursive=True))])
            ranks_below(fold)[number].kill()
            assert living(group, within_seconds=10) == []
            seen["epochs"] = [record for record in records_of(folder) if record.kind == "epoch"]

    said: list[str] = []
    outcome = project.train(
        FOLD,
        experiment,
        overrides={**EACH_EPOCH, "num_epochs": 4},
        options=TWO,
        progress=RecordedProgress(said.append, on_poll=kill),
    )
    assert len(group) >= 5  # the fold's process, two ranks, and a worker of each at the least
    (sentence,) = said
    assert "was killed (SIGKILL)" in sentence
    assert f"Rank {number} of 2 was killed" in sentence
    kinds = Counter((record.kind, record.epoch) for record in records_of(folder))
    assert kinds == Counter([("start", None), *(("epoch", epoch) for epoch in range(4)), ("end", None)])
    assert "resuming after" in (folder / ".nnunet_assets" / "output.log").read_text()
    kept = [record for record in records_of(folder) if record in seen["epochs"]]
    assert kept
    assert outcome.manifest.n_epochs == 4


@pytest.mark.faults
def test_a_stop_file_ends_both_processes_after_the_same_epoch(project: Any) -> None:
    folder = project.folder(FOLD, variant("stopped"))
    asked: list[Any] = []

    def ask() -> None:
        if not asked and epochs_of(folder):
            (folder / STOP_FILE).touch()
            asked.append(True)

    manifest = project.train(
        FOLD, variant("stopped"), overrides=MANY, options=TWO, progress=RecordedProgress(on_poll=ask)
    ).manifest
    assert 0 < manifest.n_epochs < 500
    assert manifest.details["stopped_early"].startswith(".nnunet_assets/STOP asked for it (after ")
    assert epochs_of(folder) == list(range(manifest.n_epochs))
    assert not (folder / STOP_FILE).exists()
    assert read_committed(folder, check_files=True) == manifest


@pytest.mark.faults
def test_patience_is_the_same_for_both_processes(project: Any) -> None:
    options = replace(TWO, patience=1, seed=1, tensorboard=True)
    overrides = {**TINY, "num_epochs": 40, "initial_lr": 0.0}
    manifest = project.train(FOLD, variant("patient"), overrides=overrides, options=options).manifest
    assert manifest.n_epochs < 40
    assert "the moving average of the pseudo Dice was best in epoch" in manifest.details["stopped_early"]
    curves = project.folder(FOLD, variant("patient")) / ".nnunet_assets" / "tensorboard"
    # The file of the training and that of the scores, both of the same one of the two processes.
    processes = [file.name.split(".")[-2] for file in curves.iterdir()]
    assert (len(processes), len({*processes})) == (2, 1)


@pytest.mark.faults
def test_a_request_to_stop_ends_all_processes_and_the_fold_goes_on_later(project: Any) -> None:
    experiment = variant("terminated")
    group: list[Any] = []
    folder = project.folder(FOLD, experiment)

    def terminate() -> None:
        if not group and len(epochs_of(folder)) >= 2:
            (fold,) = fold_processes()
            group.extend([fold.pid, *(process.pid for process in fold.children(recursive=True))])
            fold.send_signal(signal.SIGTERM)

    overrides = {**EACH_EPOCH, "num_epochs": 3, "num_iterations_per_epoch": 4}
    with pytest.raises(FoldFailed, match="was stopped on request") as caught:
        project.train(FOLD, experiment, overrides=overrides, options=TWO, progress=RecordedProgress(on_poll=terminate))
    assert caught.value.code == ExitCode.STOPPED
    assert living(group, within_seconds=10) == []
    assert project.train(FOLD, experiment, overrides=overrides, options=TWO).manifest.n_epochs == 3
    assert epochs_of(folder) == [0, 1, 2]


@pytest.mark.faults
def test_a_loss_that_is_no_number_ends_both_processes_with_what_to_do(project: Any) -> None:
    overrides = {**TINY, "num_iterations_per_epoch": 60, "initial_lr": 1e30}
    with pytest.raises(FoldFailed, match="The loss was not a number for 20 iterations in a row in epoch 0") as caught:
        project.train(FOLD, variant("diverged"), overrides=overrides, options=TWO)
    assert caught.value.code == ExitCode.DIVERGED


@pytest.mark.faults
def test_a_loss_that_is_no_number_in_one_process_alone_ends_both(project: Any, tmp_path: Path) -> None:
    # Its patches alone are broken: the loss of the other stays a number until the gradients are shared.
    code = (
        CPU_RANKS
        + """
    def train_step(self, batch):
        output = super().train_step(batch)
        return {"loss": output["loss"] * float("nan")} if self.local_rank == 1 else output
"""
    )
    broken = with_cpu_ranks(project, tmp_path / "trainers", code)
    with pytest.raises(FoldFailed, match="The loss was not a number for 20 iterations in a row in epoch 0") as caught:
        broken.train(FOLD, variant("one_diverged"), overrides={**TINY, "num_iterations_per_epoch": 60}, options=TWO)
    assert caught.value.code == ExitCode.DIVERGED


@pytest.mark.faults
def test_weights_from_elsewhere_are_loaded_by_both_processes_and_validated_again_by_both(
    project: Any, folder: Any
) -> None:
    options = replace(TWO, pretrained_weights=str(folder / FINAL))
    first = project.train(FOLD, variant("pretrained"), options=options).manifest
    place = project.folder(FOLD, variant("pretrained"))
    output = (place / ".nnunet_assets" / "output.log").read_text()
    assert output.count("Loading pretrained weights from file") == 2
    assert not list(place.glob(".*.part"))
    again = project.train(FOLD, variant("pretrained"), options=replace(options, val_best=True, npz=True))
    assert again.is_new
    assert again.manifest.files[FINAL] == first.files[FINAL]
    assert len(list((place / "validation").glob("*.npz"))) == 3


@pytest.mark.faults
def test_a_fold_whose_parent_is_killed_leaves_no_rank(project: Any) -> None:
    owner_code = """
import sys
from pathlib import Path
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets_tests.rank_builders import RANKS_EXPERIMENT
from nnunet_assets_tests.training_builders import PhantomProject, roots_in
from dataclasses import replace
PhantomProject(roots_in(Path(sys.argv[1]))).train(
    "fold_1", replace(RANKS_EXPERIMENT, variant="orphaned"), options=TrainingOptions(num_gpus=2),
    overrides={"num_epochs": 500, "num_iterations_per_epoch": 2, "num_val_iterations_per_epoch": 1},
)
"""
    environment = {**project.environment, "PYTHONPATH": str(Path(__file__).parents[3])}
    owner = subprocess.Popen([sys.executable, "-c", owner_code, project.roots.raw.parent], env=environment)
    folder, deadline = project.folder("fold_1", variant("orphaned")), time.monotonic() + 400
    try:
        while not epochs_of(folder):
            assert owner.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        group = [process.pid for process in psutil.Process(owner.pid).children(recursive=True)]
    finally:
        owner.kill()
        owner.wait()
    assert len(group) >= 5
    assert living(group, within_seconds=10) == []
