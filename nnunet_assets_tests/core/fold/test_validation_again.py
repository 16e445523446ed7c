"""A finished fold that is validated again: what a reader finds, and what is left, wherever it fails or is killed."""

import errno
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.fold import validation_again
from nnunet_assets.core.fold.commit import commit_fold, commit_sha256, read_committed
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.core.fold.validation_again import (
    AGAIN_FOLDER,
    begin_again,
    commit_again,
    name_final_places,
    settle_again,
    written_again,
)
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_watch import Heartbeat
from nnunet_assets.nnunet.training import fold_process
from nnunet_assets.nnunet.training.ranks import Rank
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.builders import build_attempt, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.prepared_builders import EXPERIMENT, inputs_of, write_prepared
from nnunet_assets_tests.recorded_progress import RecordedProgress

OLD_DICE, NEW_DICE = 0.5, 0.75
NEXT_STAGE = "predicted_next_stage/3d_cascade_fullres/a.b2nd"


def write_validation(fold: Any, model: Any, dice: Any, text: str) -> None:
    """Writes what nnU-Net's validation of case `a` leaves in a fold's and in its model's folder."""
    entry = summary_entry("a", {"1": dice})
    write_validation_summary(fold, [{**entry, "prediction_file": str(fold / "validation" / "a.nii.gz")}])
    (fold / "validation" / "a.nii.gz").write_text(text)
    (model / NEXT_STAGE).parent.mkdir(parents=True, exist_ok=True)
    (model / NEXT_STAGE).write_text(text)


def finished_fold(fold: Any, inputs: Any = None) -> Any:
    """Makes a fold that is finished, of the model `fold.parent`."""
    write_validation(fold, fold.parent, OLD_DICE, "old")
    (fold / "checkpoint_final.pth").write_text("weights")
    write_json_atomically(fold / ".nnunet_assets" / "request.json", {})
    append_record(journal_path(fold), "start", {"attempt": "first"})
    append_record(journal_path(fold), "epoch", {"val_loss": 0.5}, epoch=0)
    append_record(journal_path(fold), "end", {"val_dice_mean": OLD_DICE})
    manifest = build_manifest(fold) if inputs is None else build_manifest(fold, inputs)
    files = {**manifest.files, "checkpoint_final.pth": file_sha256(fold / "checkpoint_final.pth")}
    commit_fold(fold, replace(manifest, files=files))
    return fold


def validate_again(fold: Any, dice: Any) -> None:
    """Validates a finished fold again: its predictions are others, and so are its scores for another Dice."""
    trainer = SimpleNamespace(output_folder=str(fold), output_folder_base=str(fold.parent))
    begin_again(fold)
    with written_again(trainer):
        assert Path(trainer.output_folder, "checkpoint_final.pth").read_text() == "weights"
        write_validation(Path(trainer.output_folder), Path(trainer.output_folder_base), dice, "new")
        Path(trainer.output_folder, "validation", "a.npz").write_text("probabilities")
        name_final_places(fold)
        manifest = build_manifest(Path(trainer.output_folder))
    assert Path(trainer.output_folder) == fold
    now = replace(manifest, fold=fold.name, files={**read_committed(fold).files, **manifest.files})
    records = list(read_records(journal_path(fold)))[:-1]
    commit_again(fold, None if dice == OLD_DICE else now, records, {"val_dice_mean": dice})


def seen_in(fold: Any) -> Any:
    """Returns all that is to be of one validation: dice, prediction, probabilities, next stage, end of the journal."""
    (entry,) = json.loads((fold / "validation" / "summary.json").read_text())["metric_per_case"]
    assert entry["prediction_file"].endswith("/model/fold_0/validation/a.nii.gz")
    assert AGAIN_FOLDER not in entry["prediction_file"]
    return (
        entry["metrics"]["1"]["Dice"],
        (fold / "validation" / "a.nii.gz").read_text(),
        (fold / "validation" / "a.npz").exists(),
        (fold.parent / NEXT_STAGE).read_text(),
        [record.values.get("val_dice_mean") for record in read_records(journal_path(fold)) if record.kind == "end"],
    )


OLD = (OLD_DICE, "old", False, "old", [OLD_DICE])


def new(dice: Any) -> Any:
    return (dice, "new", True, "new", [dice])


def stamps_of(folder: Any) -> Any:
    """Returns content and time of every file below a folder."""
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.rglob("*") if file.is_file()}


KILLS = """
import os, shutil, signal, sys
from pathlib import Path
from nnunet_assets_tests.core.fold import test_validation_again as tests
source, place, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink"}
n_left = -1

def kill_before_a_change(event, args):
    global n_left
    if event in CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)):
        if n_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        n_left -= 1

sys.addaudithook(kill_before_a_change)
for n in range(200):
    model = place / f"{n:03}" / "model"
    shutil.copytree(source, model, symlinks=True)
    if not (process := os.fork()):
        n_left = n
        fold = model / "fold_0"
        tests.settle_again(fold) if what == "settle" else tests.validate_again(fold, float(what))
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code != -signal.SIGKILL:
        sys.exit(code)
"""


def killed_before_each_change(source: Any, place: Any, what: Any) -> Any:
    """Returns a copy of the fold for each change of the disk that a process makes, in which it was killed before that.

    The last copy is of the process that nobody killed.
    """
    subprocess.run([sys.executable, "-c", KILLS, source.parent, place, str(what)], check=True)
    return [model / "model" / "fold_0" for model in sorted(place.iterdir())]


@pytest.mark.parametrize("dice", [OLD_DICE, NEW_DICE])
def test_a_kill_at_any_change_of_the_disk_leaves_the_old_validation_or_the_new_one_and_a_finished_fold(
    tmp_path: Path, dice: Any
) -> None:
    source = finished_fold(tmp_path / "source" / "model" / "fold_0")
    commit = commit_sha256(source)
    settled, states = [], []
    for fold in killed_before_each_change(source, tmp_path / "kills", dice):
        states.append(fold_state(fold))
        if states[-1] == "finished":  # whoever reads now, before anything is mended, reads one of the two
            assert seen_in(fold) in (OLD, new(dice))
        settle_again(fold)
        assert read_committed(fold, check_files=True) is not None
        assert (commit_sha256(fold) == commit) == (dice == OLD_DICE or seen_in(fold) == OLD)
        assert not (fold / AGAIN_FOLDER).exists()
        settled.append(seen_in(fold))
    n_old = settled.count(OLD)
    assert settled == [OLD] * n_old + [new(dice)] * (len(settled) - n_old)
    assert n_old >= 10
    # The fold is finished all the time, but for the renames.
    assert states[:n_old] == ["finished"] * n_old
    n_new = states[n_old:].count("finished")
    assert states[n_old:] == [
        "finished",
        *["trained"] * (len(states) - n_old - n_new),
        *["finished"] * (n_new - 1),
    ]
    assert len(states) - n_old - n_new >= 5


def test_a_kill_while_the_next_attempt_takes_the_new_validation_over_loses_nothing_either(tmp_path: Path) -> None:
    source = finished_fold(tmp_path / "source" / "model" / "fold_0")
    kills = killed_before_each_change(source, tmp_path / "kills", NEW_DICE)
    begun = next(fold for fold in kills if read_committed(fold) is None)
    again = killed_before_each_change(begun, tmp_path / "again", "settle")
    assert len(again) >= 8
    for fold in again:
        settle_again(fold)
        assert read_committed(fold, check_files=True) is not None
        assert seen_in(fold) == new(NEW_DICE)
        assert not (fold / AGAIN_FOLDER).exists()


# --- in the fold's process ----------------------------------------------------------------------------------------


class Trainer:
    """A trainer that writes one prediction and fails."""

    current_epoch, num_epochs, is_ddp, device = 1, 1, False, SimpleNamespace(type="cpu")
    plans_manager = SimpleNamespace(image_reader_writer_class=None)

    def __init__(self, fold: Any, error: Any) -> None:
        self.output_folder, self.output_folder_base, self._error = str(fold), str(fold.parent), error

    def load_checkpoint(self, path: Any) -> None:
        assert path.endswith(".pth")

    def perform_actual_validation(self, save_probabilities: Any) -> None:
        assert save_probabilities
        write_validation(Path(self.output_folder), Path(self.output_folder_base), NEW_DICE, "new")
        raise self._error


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(errno.ENOSPC, "No space left on device"), ChildFailure(ExitCode.OUT_OF_MEMORY, "killed")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "options",
    [
        TrainingOptions(validation_only=True, npz=True),
        TrainingOptions(validation_only=True, npz=True, val_best=True),
    ],
    ids=["npz", "val_best"],
)
def test_a_validation_that_fails_changes_nothing_of_a_finished_fold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any, options: Any
) -> None:
    fold = finished_fold(tmp_path / "model" / "fold_0")
    before = stamps_of(tmp_path)
    for name in (
        "export_in_threads",
        "write_model_files_whole",
        "read_back_predictions",
        "random_state_of",
        "score_predictions_alone",
    ):
        monkeypatch.setattr(fold_process, name, lambda *_: None)
    monkeypatch.setattr(fold_process, "resolve_device", lambda name: SimpleNamespace(type=name))
    monkeypatch.setattr(fold_process, "is_own_checkpoint", lambda *_: True)
    monkeypatch.setattr(fold_process, "build_trainer", lambda *_, **__: Trainer(fold, error))
    request = replace(build_attempt(fold), options=options)
    with pytest.raises(type(error)):
        fold_process.train_as_rank(request, fold / "checkpoint_final.pth", Rank(), SILENT)
    assert (fold / AGAIN_FOLDER / "output" / "validation" / "a.nii.gz").read_text() == "new"
    assert fold_state(fold) == "finished"
    settle_again(fold)
    assert stamps_of(tmp_path) == before


# --- in the parent ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_whole", [False, True])
def test_the_next_start_finds_the_fold_finished_whatever_a_killed_machine_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    records = write_prepared(tmp_path)
    roots, fold = records[0], EXPERIMENT.fold_folder(records[0], "fold_0")
    finished_fold(fold, inputs_of(records))
    begin_again(fold)
    if is_whole:
        with monkeypatch.context() as killed:
            killed.setattr(validation_again, "_take_over", lambda *_: os_error())
            with pytest.raises(OSError, match="the machine stops"):
                validate_again(fold, OLD_DICE)
    request = FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", inputs_of(records), dagster_run_id=None)
    assert not run_fold(request, roots, environment={}).is_new
    assert (fold / "validation" / "a.nii.gz").read_text() == ("new" if is_whole else "old")
    assert not (fold / AGAIN_FOLDER).exists()


def os_error() -> None:
    raise OSError("the machine stops")


def test_a_long_silence_in_the_new_validation_says_how_far_it_is(tmp_path: Path) -> None:
    fold = finished_fold(tmp_path / "model" / "fold_0")
    said: list[str] = []
    heartbeat = Heartbeat(fold, RecordedProgress(said.append), silent_seconds=0, look_seconds=0)
    begin_again(fold)
    write_validation(fold / AGAIN_FOLDER / "output", fold / AGAIN_FOLDER / "model", NEW_DICE, "new")
    heartbeat.look()
    heartbeat.look()
    assert "while predicting the validation cases (2 files written)" in said[0]
