"""Real, tiny trainings with options: repeatable, resumed bit for bit, from other weights, stopped, validated again."""

import json
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER, STOP_FILE, Experiment
from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.checkpoints.checkpoints import BEST, FINAL
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import EXPERIMENT, SHORT_TRAINER, TINY, fold_processes

pytestmark = pytest.mark.faults

REPEATABLE = TrainingOptions(seed=5, deterministic=True)
EACH_EPOCH = {**TINY, "save_every": 1}


def variant(name: Any) -> Any:
    return replace(EXPERIMENT, variant=name)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_phantom: Any) -> Any:
    """A phantom of 6 cases; fold_0 of the variant `golden` is trained repeatably and without an interruption."""
    project = prepared_phantom.copy_to(tmp_path_factory.mktemp("options"))
    project.train("fold_0", variant("golden"), overrides=EACH_EPOCH, options=REPEATABLE)
    return project


def epochs_of(project: Any, experiment: Experiment) -> Any:
    records = read_records(journal_path(project.folder("fold_0", experiment)))
    return [record for record in records if record.kind == "epoch"]


def series_of(project: Any, experiment: Experiment) -> Any:
    timed = ("epoch_seconds",)
    return [{k: v for k, v in record.values.items() if k not in timed} for record in epochs_of(project, experiment)]


def weights_are_equal(project: Any, left: Any, right: Any) -> Any:
    return have_equal_weights(*(project.folder("fold_0", variant(name)) / FINAL for name in (left, right)))


def have_equal_weights(*checkpoints: Any) -> bool:
    code = """
import sys, torch
left, right = (torch.load(path, weights_only=False)["network_weights"] for path in sys.argv[1:])
print(left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left))
"""
    done = subprocess.run([sys.executable, "-c", code, *checkpoints], capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True"


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_a_killed_training_resumes_to_the_very_weights_of_one_that_was_not(project: Any, n_epochs: int) -> None:
    experiment = variant(f"killed_after_{n_epochs}")
    killed: list[int] = []

    def kill() -> None:
        # Where the epoch is in the journal its checkpoint is there too, or will be made again.
        if not killed and len(epochs_of(project, experiment)) >= n_epochs:
            (trainer,) = fold_processes()
            trainer.kill()
            killed.append(trainer.pid)

    project.train(
        "fold_0", experiment, overrides=EACH_EPOCH, options=REPEATABLE, progress=RecordedProgress(on_poll=kill)
    )

    assert killed
    assert series_of(project, experiment) == series_of(project, variant("golden"))
    assert weights_are_equal(project, experiment.variant, "golden")


def test_a_training_ends_with_its_best_weights_after_a_kill_too(project: Any) -> None:
    experiment = variant("best")
    killed: list[int] = []
    options = replace(REPEATABLE, restore_best=True)

    def kill() -> None:
        if not killed and len(epochs_of(project, experiment)) >= 2:
            (trainer,) = fold_processes()
            trainer.kill()
            killed.append(trainer.pid)

    overrides = {**EACH_EPOCH, "num_epochs": 6, "initial_lr": 0.5}
    project.train("fold_0", experiment, overrides=overrides, options=options, progress=RecordedProgress(on_poll=kill))

    folder = project.folder("fold_0", experiment)
    manifest = read_committed(folder)
    ema = [record.values["pseudo_dice_ema"] for record in epochs_of(project, experiment)]
    assert killed
    assert manifest.details["restored_epoch"] == max(range(len(ema)), key=ema.__getitem__)
    assert have_equal_weights(folder / FINAL, folder / BEST)


@pytest.mark.timeout(1800)  # eight trainings
def test_without_determinism_a_resumed_training_has_the_same_epochs_and_schedule(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    only_seeded, n_epochs = TrainingOptions(seed=5), 12
    overrides = {**EACH_EPOCH, "num_epochs": n_epochs, "num_iterations_per_epoch": 10}
    names = [*(f"whole_{n}" for n in range(4)), *(f"resumed_{n}" for n in range(4))]
    for name in names:
        killed: list[int] = []

        def kill(name: Any = name, killed: Any = killed) -> None:
            if name.startswith("resumed") and not killed and len(epochs_of(project, variant(name))) >= 6:
                (trainer,) = fold_processes()
                trainer.kill()
                killed.append(trainer.pid)

        project.train(
            "fold_0", variant(name), overrides=overrides, options=only_seeded, progress=RecordedProgress(on_poll=kill)
        )
        assert bool(killed) == name.startswith("resumed")

    schedules = {tuple(record.values["learning_rate"] for record in epochs_of(project, variant(n))) for n in names}
    assert len(schedules) == 1
    assert {len(epochs_of(project, variant(name))) for name in names} == {n_epochs}
    with capsys.disabled():
        for kind in ("whole", "resumed"):
            dice = [
                json.loads((project.folder("fold_0", variant(n)) / "validation" / "summary.json").read_text())
                for n in names
                if n.startswith(kind)
            ]
            print(f"\n{kind}: dice", [round(summary["foreground_mean"]["Dice"], 4) for summary in dice])


def test_another_seed_gives_another_training(project: Any) -> None:
    project.train("fold_0", variant("other"), overrides=EACH_EPOCH, options=replace(REPEATABLE, seed=6))
    assert not weights_are_equal(project, "other", "golden")


def test_one_augmentation_worker_that_is_seeded_makes_the_training_repeatable(project: Any) -> None:
    # Two of them would hand over their batches in any order.
    alone = replace(project, environment={**project.environment, "nnUNet_n_proc_DA": "1"})
    for name in ("worker_1", "worker_2"):
        alone.train("fold_0", variant(name), options=TrainingOptions(seed=5))
    assert weights_are_equal(project, "worker_1", "worker_2")


def test_a_training_starts_from_pretrained_weights_and_refuses_those_of_another_architecture(
    project: Any, tmp_path: Path
) -> None:
    golden = project.folder("fold_0", variant("golden")) / FINAL
    project.train("fold_0", variant("pretrained"), options=TrainingOptions(pretrained_weights=str(golden)))
    output = (project.folder("fold_0", variant("pretrained")) / ".nnunet_assets" / "output.log").read_text()
    assert "Loading pretrained weights from file" in output
    assert not list(project.folder("fold_0", variant("pretrained")).glob(".*.part"))

    code = """
import sys, torch
checkpoint = torch.load(sys.argv[1], weights_only=False)
weights = checkpoint["network_weights"]
name = next(name for name in weights if "seg_layers" not in name and weights[name].ndim > 1)
weights[name] = weights[name][:1]
torch.save(checkpoint, sys.argv[2])
"""
    other = tmp_path / "other.pth"
    subprocess.run([sys.executable, "-c", code, golden, other], check=True)
    with pytest.raises(FoldFailed, match=r"belong to another architecture: .* is \(1, .*there and .* here") as caught:
        project.train("fold_0", variant("refused"), options=TrainingOptions(pretrained_weights=str(other)))
    assert caught.value.code == ExitCode.BAD_INPUT


def test_a_stop_file_ends_the_training_early_and_the_fold_is_finished(project: Any) -> None:
    experiment = variant("stopped")

    def ask() -> None:
        if epochs_of(project, experiment):
            (project.folder("fold_0", experiment) / STOP_FILE).touch()

    outcome = project.train(
        "fold_0", experiment, overrides={**TINY, "num_epochs": 500}, progress=RecordedProgress(on_poll=ask)
    )
    assert 0 < outcome.manifest.n_epochs < 500
    assert outcome.manifest.details["stopped_early"].startswith(".nnunet_assets/STOP asked for it (after ")
    assert len(epochs_of(project, experiment)) == outcome.manifest.n_epochs
    assert read_committed(project.folder("fold_0", experiment), check_files=True) == outcome.manifest

    # As where a process is killed while it validates.
    (project.folder("fold_0", experiment) / OWN_FOLDER / "COMMIT").unlink()
    again = project.train("fold_0", experiment, overrides={**TINY, "num_epochs": 500})
    assert again.manifest.n_epochs == outcome.manifest.n_epochs
    assert again.manifest.details["stopped_early"] == outcome.manifest.details["stopped_early"]


def test_probabilities_are_written_where_they_are_asked_for(project: Any) -> None:
    project.train("fold_0", variant("npz"), options=TrainingOptions(npz=True))
    validation = project.folder("fold_0", variant("npz")) / "validation"
    cases = {path.name.removesuffix(".nii.gz") for path in validation.glob("*.nii.gz")}
    assert {path.stem for path in validation.glob("*.npz")} == cases != set()


def test_the_best_checkpoint_is_validated_where_it_is_asked_for(project: Any) -> None:
    outcome = project.train("fold_0", variant("best"), options=TrainingOptions(val_best=True))
    assert outcome.manifest.n_epochs == 3
    assert outcome.manifest.details["options"]["val_best"]
    assert (project.folder("fold_0", variant("best")) / BEST).exists()


def test_a_fold_without_checkpoints_is_finished_all_the_same(project: Any) -> None:
    outcome = project.train("fold_0", variant("unsaved"), options=TrainingOptions(disable_checkpointing=True))
    assert set(outcome.manifest.files) == {"validation/summary.json"}
    assert not list(project.folder("fold_0", variant("unsaved")).glob("*.pth"))


def test_validation_alone_needs_a_trained_fold(project: Any) -> None:
    with pytest.raises(FoldFailed, match=r"Cannot run validation because the training of fold_0 is not finished yet"):
        project.train("fold_0", variant("nothing"), options=TrainingOptions(validation_only=True))


def test_a_finished_fold_is_validated_again_and_nothing_of_it_is_trained(project: Any) -> None:
    experiment = variant("again")
    first = project.train("fold_0", experiment)
    final = (project.folder("fold_0", experiment) / FINAL).read_bytes()
    asked = TrainingOptions(val_best=True, npz=True)
    again = project.train("fold_0", experiment, options=asked)

    assert again.is_new
    assert again.manifest.details["attempt"] == first.manifest.details["attempt"]
    assert again.manifest.n_epochs == first.manifest.n_epochs
    assert (project.folder("fold_0", experiment) / FINAL).read_bytes() == final
    assert list((project.folder("fold_0", experiment) / "validation").glob("*.npz"))
    assert not project.train("fold_0", experiment, options=asked).is_new
    # As declared once more: no score of another checkpoint stays unseen.
    assert project.train("fold_0", experiment).is_new
    assert project.train("fold_0", experiment, options=TrainingOptions(validation_only=True)).is_new
    assert (project.folder("fold_0", experiment) / FINAL).read_bytes() == final


def test_a_model_on_every_case_is_trained_and_has_no_dice(project: Any) -> None:
    outcome = project.train("fold_all", variant("full"))
    records = list(read_records(journal_path(project.folder("fold_all", variant("full")))))
    assert outcome.is_new
    assert len(outcome.manifest.details["validation_cases"]) == project.n_cases
    assert records[-1].kind == "end"
    assert records[-1].values == {}


def test_nnunets_own_validation_in_processes_scores_the_same(project: Any, tmp_path: Path) -> None:
    """The contract of exporting in threads: `nnUNetv2_train --val` as installed leaves the same files."""
    fold_folder = project.folder("fold_0", variant("golden"))
    ours = {path.name: path.read_bytes() for path in (fold_folder / "validation").glob("*.nii.gz")}
    scores = json.loads((fold_folder / "validation" / "summary.json").read_text())
    commit = (fold_folder / ".nnunet_assets" / "COMMIT").read_bytes()
    environment = {**project.environment, **project.roots.for_variant("golden").environment(), "nnUNet_def_n_proc": "1"}
    train = [sys.executable, "-m", "nnunetv2.run.run_training", EXPERIMENT.dataset, "3d_fullres", "0"]
    subprocess.run([*train, "--val", "-device", "cpu"], env=environment, check=True, capture_output=True)

    theirs = {path.name: path.read_bytes() for path in (fold_folder / "validation").glob("*.nii.gz")}
    assert theirs == ours != {}
    assert json.loads((fold_folder / "validation" / "summary.json").read_text())["mean"] == scores["mean"]
    assert (fold_folder / ".nnunet_assets" / "COMMIT").read_bytes() == commit


def tree(folder: Any) -> Any:
    """Returns the names of the files below a folder, but for ours and the time in a log's name."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {re.sub(r"training_log_.*", "training_log", name) for name in names if "nnunet_assets" not in name}


def test_a_fold_is_the_tree_that_plain_nnunet_leaves_and_its_tools_go_on_with_it(project: Any, tmp_path: Path) -> None:
    (tmp_path / "trainers").mkdir()
    (tmp_path / "trainers" / "nnUNetTrainerShort.py").write_text(SHORT_TRAINER)
    own = {"nnUNet_extTrainer": str(tmp_path / "trainers"), "nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    environment = {**project.environment, **project.roots.environment(), **own}
    experiment = Experiment(EXPERIMENT.dataset, "3d_fullres", trainer="nnUNetTrainerShort")
    replace(project, environment={**project.environment, **own}).train("fold_0", experiment, overrides={})

    def plain(module: Any, *arguments: Any, results: Any = project.roots.results) -> None:
        command = [sys.executable, "-m", module, *arguments]
        variables = {**environment, "nnUNet_results": str(results)}
        subprocess.run(command, env=variables, check=True, capture_output=True)

    train = ["nnunetv2.run.run_training", EXPERIMENT.dataset, "3d_fullres", "0", "-tr", "nnUNetTrainerShort"]
    plain(*train, "-device", "cpu", results=tmp_path / "plain")
    theirs = tmp_path / "plain" / EXPERIMENT.dataset / experiment.name
    assert tree(theirs) == tree(experiment.model_folder(project.roots))

    fold_folder = project.folder("fold_0", experiment)
    shutil.copy(fold_folder / FINAL, tmp_path / FINAL)
    plain(*train, "-device", "cpu", "--c")
    assert have_equal_weights(fold_folder / FINAL, tmp_path / FINAL)
    assert fold_state(fold_folder) == "changed"  # nnU-Net wrote its final checkpoint anew, and that is seen

    code = "from nnunetv2.model_sharing.entry_points import export_pretrained_model_entry as export; export()"
    arguments = ["-d", EXPERIMENT.dataset, "-c", "3d_fullres", "-tr", experiment.trainer, "-f", "0"]
    export = [sys.executable, "-c", code, *arguments, "-o", str(tmp_path / "model.zip")]
    subprocess.run(export, env=environment, check=True, capture_output=True)
    names = zipfile.ZipFile(tmp_path / "model.zip").namelist()
    assert f"{EXPERIMENT.dataset}/{experiment.name}/fold_0/{FINAL}" in names


def test_a_training_that_was_interrupted_says_what_signal_did_it(project: Any) -> None:
    experiment = variant("terminated")

    def terminate() -> None:
        for trainer in fold_processes():
            if epochs_of(project, experiment):
                trainer.send_signal(signal.SIGTERM)

    with pytest.raises(FoldFailed, match="was stopped on request") as caught:
        project.train(
            "fold_0", experiment, overrides={**TINY, "num_epochs": 500}, progress=RecordedProgress(on_poll=terminate)
        )
    assert caught.value.code == ExitCode.STOPPED
