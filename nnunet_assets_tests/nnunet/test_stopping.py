"""A training that ends before its last epoch: when, why, and what it leaves."""

from dataclasses import replace

import pytest

from nnunet_assets.core.commit import commit_fold
from nnunet_assets.core.layout import OWN_FOLDER, STOP_FILE
from nnunet_assets.core.training_options import TrainingOptions
from nnunet_assets.nnunet import stopping
from nnunet_assets.nnunet.child import ChildFailure
from nnunet_assets.nnunet.stopping import earlier_end, stop_early, train
from nnunet_assets_tests.builders import build_manifest


class Trainer:
    """nnU-Net's loop, with a clock and a moving average that the test gives."""

    def __init__(self, clock, ema, epoch_seconds=60):
        self.clock, self.ema, self.epoch_seconds = clock, ema, epoch_seconds
        self.num_epochs = len(ema)
        self.current_epoch = 0
        self.is_ended = False
        self.logger = self
        self.output_folder = ""

    def get_value(self, key, step):
        assert (key, step) == ("ema_fg_dice", None)
        return self.ema[: self.current_epoch]

    def on_epoch_end(self):
        self.current_epoch += 1

    def on_train_end(self):
        self.is_ended = True

    def do_split(self):
        return [], ["case_1", "case_2"]

    def run_training(self):
        for _ in range(self.current_epoch, self.num_epochs):
            self.clock[0] += self.epoch_seconds
            self.on_epoch_end()
        self.on_train_end()


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def fold_folder(tmp_path):
    (tmp_path / "fold_0" / OWN_FOLDER).mkdir(parents=True)
    return tmp_path / "fold_0"


def trained(trainer, fold_folder, **options):
    trainer.output_folder = str(fold_folder)
    stop_early(trainer, fold_folder, TrainingOptions(**options), started=0.0)
    said = []
    reason = train(trainer, said.append)
    assert trainer.is_ended
    assert bool(said) == (reason is not None)
    return trainer.current_epoch, reason


RISING = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def test_a_training_without_limits_goes_to_its_last_epoch(clock, fold_folder):
    assert trained(Trainer(clock, RISING), fold_folder) == (6, None)


def test_a_training_without_progress_ends_after_its_patience(clock, fold_folder):
    epochs, reason = trained(Trainer(clock, [0.1, 0.3, 0.2, 0.3, 0.25, 0.2, 0.4]), fold_folder, patience=3)
    assert epochs == 5
    assert reason == "the moving average of the pseudo Dice was best in epoch 2, 3 epochs ago (after epoch 5 of 7)"


def test_progress_starts_the_patience_anew(clock, fold_folder):
    assert trained(Trainer(clock, [0.1, 0.05, 0.2, 0.1, 0.3, 0.2]), fold_folder, patience=2) == (6, None)


def test_a_time_budget_keeps_a_tenth_for_the_validation(clock, fold_folder):
    # 5 minutes: 0.5 are kept, and after the fourth epoch no further one fits.
    epochs, reason = trained(Trainer(clock, RISING), fold_folder, time_budget_minutes=5)
    assert epochs == 4
    assert reason == "the time budget leaves 60 s, which the validation may need (after epoch 4 of 6)"


def test_a_time_budget_keeps_what_another_fold_took_to_validate(clock, fold_folder):
    sibling = fold_folder.with_name("fold_1")
    seconds, details = {"training": 300.0, "validation": 160.0}, {"validation_cases": ["a", "b", "c", "d"]}
    commit_fold(sibling, replace(build_manifest(sibling), seconds=seconds, details=details))
    # 40 s a case, two cases, and half as much again.
    assert trained(Trainer(clock, RISING), fold_folder, time_budget_minutes=5)[0] == 3
    with pytest.raises(ChildFailure, match=r"time budget of 1\.5 minutes is too little: the validation .* 2 minutes"):
        trained(Trainer(clock, RISING), fold_folder, time_budget_minutes=1.5)


def test_whoever_writes_the_stop_file_ends_the_training_after_the_epoch(clock, fold_folder):
    trainer = Trainer(clock, RISING)
    end = trainer.on_epoch_end

    def third_epoch_is_enough():
        end()
        if trainer.current_epoch == 3:
            (fold_folder / STOP_FILE).touch()

    trainer.on_epoch_end = third_epoch_is_enough
    epochs, reason = trained(trainer, fold_folder)
    assert (epochs, reason) == (3, ".nnunet_assets/STOP asked for it (after epoch 3 of 6)")
    assert not (fold_folder / STOP_FILE).exists()


def test_a_reason_after_the_last_epoch_is_none(clock, fold_folder):
    assert trained(Trainer(clock, [0.5, 0.1]), fold_folder, patience=1) == (2, None)


class Killed(BaseException):
    """Ends a process where it is."""


def killed_after_its_final_checkpoint(trainer, fold_folder, **options):
    def end():
        raise Killed

    trainer.on_train_end = end
    with pytest.raises(Killed):
        trained(trainer, fold_folder, **options)


class TestTheNextProcessKnowsWhyTheOneBeforeEnded:
    def test_though_it_was_killed_before_it_validated(self, clock, fold_folder):
        trainer = Trainer(clock, RISING)
        killed_after_its_final_checkpoint(trainer, fold_folder, time_budget_minutes=5)
        reason = "the time budget leaves 60 s, which the validation may need (after epoch 4 of 6)"
        assert earlier_end(trainer, fold_folder) == reason

    def test_unless_it_trained_on_and_ended_elsewhere(self, clock, fold_folder):
        trainer = Trainer(clock, RISING)
        killed_after_its_final_checkpoint(trainer, fold_folder, time_budget_minutes=5)
        trainer.current_epoch = 5
        assert earlier_end(trainer, fold_folder) == "1 epochs early, in an earlier process"
        trainer.current_epoch = 6
        assert earlier_end(trainer, fold_folder) is None

    def test_or_nobody_noted_it(self, clock, fold_folder):
        trainer = Trainer(clock, RISING)
        trainer.current_epoch = 2
        assert earlier_end(trainer, fold_folder) == "4 epochs early, in an earlier process"
