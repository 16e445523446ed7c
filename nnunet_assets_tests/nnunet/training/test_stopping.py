"""A training that ends before its last epoch: when, why, and what it leaves."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER, STOP_FILE
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.training.stopping import check_time_left, earlier_end, stop_early, train
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.builders import build_manifest
from nnunet_assets_tests.recorded_progress import RecordedProgress


class Trainer:
    """nnU-Net's loop, with a clock and a moving average that the test gives."""

    def __init__(self, clock: Any, ema: Any, epoch_seconds: int = 60) -> None:
        self.clock, self.ema, self.epoch_seconds = clock, ema, epoch_seconds
        self.num_epochs = len(ema)
        self.current_epoch = 0
        self.is_ended = False
        self.logger = self
        self.output_folder = ""

    def get_value(self, key: Any, step: Any) -> Any:
        assert (key, step) == ("ema_fg_dice", None)
        return self.ema[: self.current_epoch]

    def on_epoch_end(self) -> None:
        self.current_epoch += 1

    def on_train_end(self) -> None:
        self.is_ended = True

    def do_split(self) -> Any:
        return [], ["case_1", "case_2"]

    def run_training(self) -> None:
        for _ in range(self.current_epoch, self.num_epochs):
            self.clock[0] += self.epoch_seconds
            self.on_epoch_end()
        self.on_train_end()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def fold_folder(tmp_path: Path) -> Any:
    (tmp_path / "fold_0" / OWN_FOLDER).mkdir(parents=True)
    return tmp_path / "fold_0"


def trained(trainer: Any, fold_folder: Path, **options: Any) -> Any:
    trainer.output_folder = str(fold_folder)
    stop_early(trainer, fold_folder, TrainingOptions(**options), started=0.0)
    said: list[str] = []
    reason = train(trainer, RecordedProgress(said.append))
    assert trainer.is_ended
    assert bool(said) == (reason is not None)
    return trainer.current_epoch, reason


RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_a_training_without_limits_goes_to_its_last_epoch(clock: Any, fold_folder: Path) -> None:
    assert trained(Trainer(clock, RISING), fold_folder) == (6, None)


def test_a_training_without_progress_ends_after_its_patience(clock: Any, fold_folder: Path) -> None:
    epochs, reason = trained(Trainer(clock, [0.1, 0.3, 0.2, 0.3, 0.25, 0.2, 0.4]), fold_folder, patience=3)
    assert epochs == 5
    assert reason == "the moving average of the pseudo Dice was best in epoch 1, 3 epochs ago (after 5 of 7 epochs)"


def test_progress_starts_the_patience_anew(clock: Any, fold_folder: Path) -> None:
    assert trained(Trainer(clock, [0.1, 0.05, 0.2, 0.1, 0.3, 0.2]), fold_folder, patience=2) == (6, None)


@pytest.mark.parametrize("ema", [[math.nan] * 6, [0.5, 0.1, *[math.nan] * 4], [math.nan, 0.5, *[math.nan] * 3, 0.1]])
def test_an_epoch_without_a_pseudo_dice_is_no_lack_of_progress(clock: Any, fold_folder: Path, ema: Any) -> None:
    assert trained(Trainer(clock, ema), fold_folder, patience=2) == (6, None)


def test_patience_counts_the_epochs_that_could_have_shown_progress(clock: Any, fold_folder: Path) -> None:
    ema = [math.nan, 0.3, math.nan, 0.2, math.nan, 0.3, math.nan]
    epochs, reason = trained(Trainer(clock, ema), fold_folder, patience=2)
    assert epochs == 6
    assert reason == (
        "the moving average of the pseudo Dice was best in epoch 1, 4 epochs ago, 2 of them with a pseudo Dice (after "
        "6 of 7 epochs)"
    )


def test_a_time_budget_keeps_a_tenth_for_the_validation(clock: Any, fold_folder: Path) -> None:
    # 5 minutes: 0.5 are kept, and after the fourth epoch no further one fits.
    epochs, reason = trained(Trainer(clock, RISING), fold_folder, time_budget_minutes=5)
    assert epochs == 4
    assert reason == "the time budget leaves 60 s, which the validation may need (after 4 of 6 epochs)"


def test_a_time_budget_keeps_what_another_fold_took_to_validate(clock: Any, fold_folder: Path) -> None:
    sibling = fold_folder.with_name("fold_1")
    seconds, details = {"training": 300.0, "validation": 160.0}, {"validation_cases": ["a", "b", "c", "d"]}
    commit_fold(sibling, replace(build_manifest(sibling), seconds=seconds, details=details))
    # 40 s a case, two cases, and half as much again.
    assert trained(Trainer(clock, RISING), fold_folder, time_budget_minutes=5)[0] == 3


def test_a_fold_whose_time_is_over_before_it_begins_is_not_begun(clock: Any, fold_folder: Path) -> None:
    budget = TrainingOptions(time_budget_minutes=10)
    trainer: Any = Trainer(clock, RISING)
    clock[0] = 8 * 60
    check_time_left(trainer, fold_folder, budget, 0.0)  # nothing is known but the minute that is kept
    sibling = fold_folder.with_name("fold_1")
    # 2 minutes for the validation of two cases, and 1 for an epoch.
    seconds, details = {"training": 120.0, "validation": 160.0}, {"validation_cases": ["a", "b", "c", "d"]}
    commit_fold(sibling, replace(build_manifest(sibling), seconds=seconds, n_epochs=2, details=details))
    with pytest.raises(ChildFailure, match=r"minutes, 8\.0 were over before .* may take 3\.0 minutes") as caught:
        check_time_left(trainer, fold_folder, budget, 0.0)
    assert caught.value.code == ExitCode.STOPPED
    check_time_left(trainer, fold_folder, TrainingOptions(), 0.0)
    clock[0] = 6 * 60
    check_time_left(trainer, fold_folder, budget, 0.0)
    append_record(journal_path(fold_folder), "epoch", {"epoch_seconds": 180.0}, 0)
    with pytest.raises(ChildFailure, match=r"may take 5\.0 minutes"):
        check_time_left(trainer, fold_folder, budget, 0.0)
    with pytest.raises(ChildFailure, match=r"budget of 4 minutes is too little: .* may take 5\.0 minutes") as caught:
        check_time_left(trainer, fold_folder, TrainingOptions(time_budget_minutes=4), 0.0)
    assert caught.value.code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("options", [{}, {"time_budget_minutes": 5}])
@pytest.mark.parametrize(
    ("seconds", "cases"), [({"training": 300.0}, ["a"]), ({"training": 300.0, "validation": 160.0}, [])]
)
def test_a_fold_that_does_not_say_how_long_a_case_took_is_as_if_it_were_not_there(
    clock: Any, fold_folder: Path, options: dict[str, Any], seconds: dict[str, Any], cases: list[Any]
) -> None:
    sibling = fold_folder.with_name("fold_1")
    details = {"adopted": "2026-11-20T00:00:00+00:00", "validation_cases": cases}
    commit_fold(sibling, replace(build_manifest(sibling), seconds=seconds, details=details))
    assert trained(Trainer(clock, RISING), fold_folder, **options)[0] == (4 if options else 6)


def test_whoever_writes_the_stop_file_ends_the_training_after_the_epoch(clock: Any, fold_folder: Path) -> None:
    trainer: Any = Trainer(clock, RISING)
    end = trainer.on_epoch_end

    def third_epoch_is_enough() -> None:
        end()
        if trainer.current_epoch == 3:
            (fold_folder / STOP_FILE).touch()

    trainer.on_epoch_end = third_epoch_is_enough
    epochs, reason = trained(trainer, fold_folder)
    assert (epochs, reason) == (3, ".nnunet_assets/STOP asked for it (after 3 of 6 epochs)")
    assert not (fold_folder / STOP_FILE).exists()


def test_a_reason_after_the_last_epoch_is_none(clock: Any, fold_folder: Path) -> None:
    assert trained(Trainer(clock, [0.5, 0.1]), fold_folder, patience=1) == (2, None)


class Killed(BaseException):
    """Ends a process where it is."""


def killed_after_its_final_checkpoint(trainer: Any, fold_folder: Path, **options: Any) -> None:
    def end() -> None:
        raise Killed

    trainer.on_train_end = end
    with pytest.raises(Killed):
        trained(trainer, fold_folder, **options)


class TestTheNextProcessKnowsWhyTheOneBeforeEnded:
    def test_though_it_was_killed_before_it_validated(self, clock: Any, fold_folder: Path) -> None:
        trainer: Any = Trainer(clock, RISING)
        killed_after_its_final_checkpoint(trainer, fold_folder, time_budget_minutes=5)
        reason = "the time budget leaves 60 s, which the validation may need (after 4 of 6 epochs)"
        assert earlier_end(trainer, fold_folder) == reason

    def test_unless_it_trained_on_and_ended_elsewhere(self, clock: Any, fold_folder: Path) -> None:
        trainer: Any = Trainer(clock, RISING)
        killed_after_its_final_checkpoint(trainer, fold_folder, time_budget_minutes=5)
        trainer.current_epoch = 5
        assert earlier_end(trainer, fold_folder) == "1 epochs early, in an earlier process"
        trainer.current_epoch = 6
        assert earlier_end(trainer, fold_folder) is None

    def test_or_nobody_noted_it(self, clock: Any, fold_folder: Path) -> None:
        trainer: Any = Trainer(clock, RISING)
        trainer.current_epoch = 2
        assert earlier_end(trainer, fold_folder) == "4 epochs early, in an earlier process"


class SavingTrainer(Trainer):
    """One that saves an epoch in so many, as nnU-Net does, and makes the file that asks it to leave in one of them."""

    def __init__(self, clock: Any, leave_file: Path, asked_in_epoch: int) -> None:
        super().__init__(clock, RISING)
        self.leave_file, self.asked_in_epoch = leave_file, asked_in_epoch
        self.save_every, self.disable_checkpointing = 50, False
        self.saved: list[int] = []

    def on_epoch_end(self) -> None:
        if (self.current_epoch + 1) % self.save_every == 0:
            self.saved.append(self.current_epoch)
        super().on_epoch_end()

    def run_training(self) -> None:
        for _ in range(self.current_epoch, self.num_epochs):
            if self.current_epoch == self.asked_in_epoch:
                self.leave_file.touch()
            self.on_epoch_end()
        self.on_train_end()


@pytest.mark.parametrize("epoch", range(5))
def test_a_training_whose_job_is_nearly_over_saves_the_epoch_that_it_is_in_and_goes(
    clock: Any, fold_folder: Path, epoch: int
) -> None:
    leave_file = fold_folder / OWN_FOLDER / "LEAVE"
    trainer: Any = SavingTrainer(clock, leave_file, epoch)
    stop_early(trainer, fold_folder, TrainingOptions(), started=0.0, leave_file=leave_file)
    with pytest.raises(ChildFailure, match=f"nearly over: .* It goes on after epoch {epoch}") as caught:
        trainer.run_training()
    assert caught.value.code == ExitCode.STOPPED
    assert trainer.saved == [epoch]
    assert (trainer.save_every, trainer.is_ended) == (50, False)


def test_after_the_last_epoch_and_without_checkpoints_there_is_nothing_to_save(clock: Any, fold_folder: Path) -> None:
    for asked_in_epoch, disable_checkpointing in ((5, False), (2, True)):
        leave_file = fold_folder / OWN_FOLDER / f"LEAVE{asked_in_epoch}"
        trainer: Any = SavingTrainer(clock, leave_file, asked_in_epoch)
        trainer.disable_checkpointing = disable_checkpointing
        stop_early(trainer, fold_folder, TrainingOptions(), started=0.0, leave_file=leave_file)
        trainer.run_training()
        assert trainer.is_ended
        assert trainer.saved == []
