"""The lines that a person follows of a fold that trains."""

import time
from pathlib import Path

import pytest

from nnunet_assets.core.fold.journal import Record, journal_path, write_records
from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets.nnunet.folds.fold_watch import EpochLines
from nnunet_assets_tests.recorded_progress import RecordedProgress


def test_epochs_are_shown_whatever_is_known_of_the_trainer_and_however_the_disk_answers(tmp_path: Path) -> None:
    progress = RecordedProgress()
    lines = EpochLines(tmp_path, progress)
    journal = journal_path(tmp_path)
    journal.mkdir(parents=True)
    lines.show_new()  # which cannot be read
    journal.rmdir()
    write_records(
        journal,
        [
            Record("start", 0, None, {"params": {"trainer": {"unknown": "AttributeError: it hides"}}}),
            Record("epoch", time.time_ns(), 0, {"train_loss": 0.5}),
        ],
    )
    lines.show_new()
    lines.show_new()
    assert progress.relayed == ["Epoch 0: train loss 0.5000"]


def test_a_training_that_begins_is_shown_before_its_first_epoch_ends_and_once(tmp_path: Path) -> None:
    trainer = {"num_epochs": 1000, "num_iterations_per_epoch": 250}
    start = Record("start", 5, None, {"params": {"trainer": trainer}})
    progress = RecordedProgress()
    lines = EpochLines(tmp_path, progress)
    write_records(journal_path(tmp_path), [start])
    lines.show_new()
    write_records(journal_path(tmp_path), [start, Record("epoch", 6, 0, {"val_loss": 0.5})])
    lines.show_new()
    assert progress.relayed == [
        "The training begins: 1000 epochs of 250 iterations.",
        str(TrainedEpoch(0, 1000, {"val_loss": 0.5})),
    ]
    again = RecordedProgress()
    EpochLines(tmp_path, again).show_new()
    assert again.relayed == []


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_epochs_go_on_being_shown_whatever_is_done_to_the_clock(tmp_path: Path, hours: int) -> None:
    journal, now = journal_path(tmp_path), time.time_ns() // 1_000_000
    earlier = [Record("start", now - 9, None, {}), *(Record("epoch", now + n, n, {"val_loss": 0.5}) for n in range(2))]
    write_records(journal, earlier)
    progress = RecordedProgress()
    lines = EpochLines(tmp_path, progress)
    set_to = now + hours * 3_600_000
    write_records(journal, [*earlier, *(Record("epoch", set_to + n, n, {"val_loss": 0.25}) for n in range(2, 5))])
    lines.show_new()
    assert progress.relayed == [f"Epoch {n}: val loss 0.2500" for n in (2, 3, 4)]
