import math
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.nnunet.training import journal_logger
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.nnunet.watching import epoch_logger
from nnunet_assets_tests.builders import build_attempt
from nnunet_assets_tests.recorded_progress import RecordedProgress


@pytest.fixture(autouse=True)
def _a_clock_of_two_and_a_half_seconds_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count(100.0, 2.5)
    monkeypatch.setattr(epoch_logger, "time", SimpleNamespace(monotonic=lambda: next(looks)))


def log_epoch(logger: Any, epoch: Any, train_loss: float = 0.5, val_loss: float = 0.75) -> None:
    """Logs what nnU-Net's trainer logs in one epoch, in its order, by a clock that is set back an hour meanwhile."""
    logger.log("epoch_start_timestamps", 100.0 * epoch, epoch)
    logger.log("lrs", 0.01, epoch)
    logger.log("train_losses", train_loss, epoch)
    logger.log("mean_fg_dice", 0.25, epoch)
    logger.log("ema_fg_dice", 0.2, epoch)
    logger.log("dice_per_class_or_region/class_1", 0.5, epoch)
    logger.log("dice_per_class_or_region/class_2", math.nan, epoch)
    logger.log("val_losses", val_loss, epoch)
    logger.log("epoch_end_timestamps", 100.0 * epoch - 3600, epoch)


def test_an_epoch_becomes_one_record_with_our_names(tmp_path: Path) -> None:
    seen = []
    logger = JournalLogger(tmp_path / "journal", ["organ", "lesion"], lambda *epoch: seen.append(epoch))
    logger.update_config({"hparas": {}})
    log_epoch(logger, 0)
    log_epoch(logger, 1)
    logger.log_summary("final_val/foreground_dice", 0.5)
    assert logger.close() == 0
    first, second = read_records(tmp_path / "journal")
    assert (first.epoch, second.epoch) == (0, 1)
    assert first.values == {
        "learning_rate": 0.01,
        "train_loss": 0.5,
        "val_loss": 0.75,
        "generalization_gap": 0.25,
        "pseudo_dice_mean": 0.25,
        "pseudo_dice_ema": 0.2,
        "pseudo_dice/organ": 0.5,
        "pseudo_dice/lesion": None,  # the label was in no patch
        "epoch_seconds": 2.5,
    }
    assert [epoch for epoch, _ in seen] == [0, 1]


def test_what_an_unfinished_epoch_logged_is_no_record(tmp_path: Path) -> None:
    logger = JournalLogger(tmp_path / "journal", [], lambda *_: None)
    logger.log("train_losses", 0.5, 0)
    assert logger.close() == 0
    assert list(read_records(tmp_path / "journal")) == []


def test_a_series_of_the_users_trainer_keeps_its_name_and_none_is_required(tmp_path: Path) -> None:
    logger = JournalLogger(tmp_path / "journal", [], lambda *_: None)
    logger.log("epoch_start_timestamps", 1.0, 0)
    logger.log("my_series", 3, 0)
    logger.log("epoch_end_timestamps", 2.0, 0)
    logger.close()
    (record,) = read_records(tmp_path / "journal")
    assert record.values == {"my_series": 3.0, "epoch_seconds": 2.5}


def test_what_a_trainer_logs_amiss_breaks_no_training_and_is_counted(tmp_path: Path) -> None:
    logger = JournalLogger(tmp_path / "journal", ["organ"], lambda *_: None)
    logger.log("dice_per_class_or_region/class_1", 0.5, 0)
    logger.log("dice_per_class_or_region/class_2", 0.25, 0)  # of one label
    for value in ("a text", None, [1.0, 2.0], 10**400):
        logger.log("my_series", value, 0)
    logger.log("epoch_end_timestamps", 2.0, 0)  # and no start
    assert (logger.close(), logger.n_refused) == (0, 4)
    (record,) = read_records(tmp_path / "journal")
    assert record.values == {"pseudo_dice/organ": 0.5, "pseudo_dice/class_2": 0.25}


def test_a_record_is_on_the_disk_after_waiting_for_it(tmp_path: Path) -> None:
    logger = JournalLogger(tmp_path / "journal", ["organ", "lesion"], lambda *_: None)
    logger.wait()
    for epoch in range(20):
        log_epoch(logger, epoch)
    logger.wait()
    assert len(list(read_records(tmp_path / "journal"))) == 20
    logger.close()


@pytest.mark.parametrize("n_epochs", [1, 3])
def test_records_that_cannot_be_written_are_counted_and_stop_no_training(tmp_path: Path, n_epochs: int) -> None:
    (tmp_path / "journal").mkdir()  # nothing can be appended to a folder
    logger = JournalLogger(tmp_path / "journal", ["organ", "lesion"], lambda *_: None)
    for epoch in range(n_epochs):
        log_epoch(logger, epoch)
    logger.wait()
    assert logger.close() == n_epochs


# --- the journal of a fold that goes on ---------------------------------------------------------------------------


def go_on(folder: Any, n_epochs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the journal for a trainer that has so many epochs; returns what was said."""
    monkeypatch.setattr(journal_logger, "training_parameters", lambda *_, **__: {"trainer": {"initial_lr": 0.01}})
    trainer = SimpleNamespace(
        current_epoch=n_epochs,
        output_folder=str(folder),
        was_initialized=True,
        logger=SimpleNamespace(loggers=[]),
        label_manager=SimpleNamespace(has_regions=False, foreground_labels=[1]),
        dataset_json={"labels": {"background": 0, "organ": 1}},
    )
    said: list[str] = []
    journal_logger.open_journal(trainer, build_attempt(folder), {}, RecordedProgress(said.append)).close()
    return said


@pytest.mark.parametrize(("damaged", "n_lost"), [(None, 0), (3, 1), (0, 0)])
def test_a_damaged_line_is_said_when_the_fold_goes_on_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: int | None, n_lost: int
) -> None:
    path = journal_path(tmp_path)
    append_record(path, "start", {"attempt": "a"})
    for epoch in range(6):
        append_record(path, "epoch", {"train_loss": 0.5}, epoch)
    lines = path.read_bytes().splitlines(keepends=True)
    if damaged is not None:
        lines[damaged] = b"deadbeef" + lines[damaged][8:]
    path.write_bytes(b"".join(lines))
    said = go_on(tmp_path, 6, monkeypatch)
    assert said == [f"Damaged lines cost the journal {n_lost} of 6 epochs: the curves have gaps there."] * n_lost
    start, *epochs = read_records(path)
    assert (start.kind, start.values["attempt"]) == ("start", "a")
    assert len(epochs) == 6 - n_lost
