"""What a fold writes for TensorBoard, read back by TensorBoard's own reader."""

import errno
import os
import sys
import threading
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.watching import epoch_logger
from nnunet_assets.nnunet.watching.tensorboard_logger import (
    BATCHES,
    TensorBoardLogger,
    require_tensorboard,
    tensorboard_folder,
)
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.nnunet.training.test_journal_logger import log_epoch
from nnunet_assets_tests.training_builders import EXPERIMENT, PhantomProject, roots_in

LABELS = ["organ", "lesion (core)"]


def event_accumulator(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def shown(fold_folder: Path, prefix: str | None = None) -> dict[str, list[tuple[int, float]]]:
    """Returns series to epoch and value, as TensorBoard shows them."""
    events = event_accumulator(tensorboard_folder(fold_folder, prefix))
    return {tag: [(e.step, round(e.value, 4)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_each_epoch_has_a_point_in_every_series_of_the_journal_that_is_defined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch_logger, "time", SimpleNamespace(monotonic=count(0, 2.5).__next__))
    logger = TensorBoardLogger(tmp_path, LABELS, 0)
    logger.update_config({"hparas": {}})
    log_epoch(logger, 0, train_loss=0.5)
    log_epoch(logger, 1, train_loss=0.25)
    logger.log_summary("final_val/foreground_dice", 0.5)

    assert logger.close() == 0
    assert shown(tmp_path) == {
        "learning_rate": [(0, 0.01), (1, 0.01)],
        "train_loss": [(0, 0.5), (1, 0.25)],
        "val_loss": [(0, 0.75), (1, 0.75)],
        "generalization_gap": [(0, 0.25), (1, 0.5)],
        "pseudo_dice_mean": [(0, 0.25), (1, 0.25)],
        "pseudo_dice_ema": [(0, 0.2), (1, 0.2)],
        "pseudo_dice/organ": [(0, 0.5), (1, 0.5)],
        # pseudo_dice/lesion (core): the label was in no patch
        "epoch_seconds": [(0, 2.5), (1, 2.5)],
    }


def test_an_epoch_is_there_before_the_file_is_closed(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, LABELS, 0)
    log_epoch(logger, 0)
    logger.wait()
    assert shown(tmp_path)["train_loss"] == [(0, 0.5)]
    logger.close()


@pytest.mark.parametrize("first", [0, 2])
def test_epochs_that_are_trained_again_are_shown_once_with_their_later_values(tmp_path: Path, first: int) -> None:
    killed = TensorBoardLogger(tmp_path, LABELS, 0)
    for epoch in range(4):
        log_epoch(killed, epoch, train_loss=1.0)
    killed.close()

    resumed = TensorBoardLogger(tmp_path, LABELS, first)
    log_epoch(resumed, first, train_loss=0.5)
    resumed.close()

    assert shown(tmp_path)["train_loss"] == [*((epoch, 1.0) for epoch in range(first)), (first, 0.5)]


def records(*epochs: int) -> list[Record]:
    """Returns what the journal has of epochs that were trained a while ago, the label undefined in each."""
    return [
        Record("epoch", 1_700_000_000_000 + epoch, epoch, {"train_loss": 1.0 - epoch / 10, "pseudo_dice/organ": None})
        for epoch in epochs
    ]


def test_epochs_of_before_the_first_event_file_come_first_in_the_curve_and_at_their_own_times(tmp_path: Path) -> None:
    for first in (2, 4):  # the second one goes on where the first one was killed, and its journal has all before
        logger = TensorBoardLogger(tmp_path, LABELS, first, earlier=records(*range(first)), prefix="longer")
        assert logger.is_first == (first == 2)
        for epoch in range(first, first + 3):
            log_epoch(logger, epoch, train_loss=0.5)
        assert logger.close() == 0

    later = [(epoch, 0.5) for epoch in range(2, 7)]
    assert shown(tmp_path, "longer")["train_loss"] == [(0, 1.0), (1, 0.9), *later]
    assert "pseudo_dice/organ" in shown(tmp_path, "longer")
    assert not list(tensorboard_folder(tmp_path).glob(".*"))
    folder = tensorboard_folder(tmp_path, "longer")
    events = event_accumulator(folder)
    assert [event.wall_time for event in events.Scalars("train_loss")][:2] == [1_700_000_000.0, 1_700_000_000.001]


def test_a_kill_while_earlier_epochs_are_written_leaves_them_to_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            TensorBoardLogger(tmp_path, LABELS, 2, earlier=records(0, 1))
    assert not list(tmp_path.rglob("events*"))

    logger = TensorBoardLogger(tmp_path, LABELS, 2, earlier=records(0, 1))
    log_epoch(logger, 2, train_loss=0.5)
    logger.close()

    assert shown(tmp_path)["train_loss"] == [(0, 1.0), (1, 0.9), (2, 0.5)]


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_earlier_epochs_that_cannot_be_written_are_counted_and_stop_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        logger = TensorBoardLogger(tmp_path, LABELS, 2, earlier=records(0, 1))
    log_epoch(logger, 2, train_loss=0.5)
    assert logger.close() == 2
    assert shown(tmp_path)["train_loss"] == [(2, 0.5)]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_another_name_takes_along_what_lies_under_the_earlier_one(tmp_path: Path) -> None:
    for first, prefix in ((0, None), (1, "night"), (2, "day"), (3, None)):
        logger = TensorBoardLogger(tmp_path, LABELS, first, prefix=prefix, n_iterations=2)
        log_epoch(logger, first, train_loss=float(first))
        logger.take_batches(first, {"train_loss": [0.5, None]})
        logger.close()

        folder = tensorboard_folder(tmp_path, prefix)
        assert shown(tmp_path, prefix)["train_loss"] == [(epoch, float(epoch)) for epoch in range(first + 1)]
        assert len(list(folder.glob("events*"))) == len(list((folder / BATCHES).glob("events*"))) == first + 1
        assert len(list(tensorboard_folder(tmp_path).rglob("events*"))) == 2 * (first + 1)


def test_a_clock_that_was_set_back_does_not_turn_the_order_of_two_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first, second in enumerate([2_000_000_000, 1_900_000_000, 1_800_000_000, 1_800_000_000]):
        with monkeypatch.context() as patch:
            clock = SimpleNamespace(time=partial(float, second))
            patch.setattr("tensorboard.summary.writer.event_file_writer.time", clock)
            logger = TensorBoardLogger(tmp_path, LABELS, first)
            for epoch in range(first, first + 3):
                log_epoch(logger, epoch, train_loss=float(first))
            logger.close()

    assert shown(tmp_path)["train_loss"] == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0), (4, 3.0), (5, 3.0)]


# TensorBoard's own thread writes, and ends with the error.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_epochs_that_cannot_be_written_are_counted_and_stop_no_training(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, LABELS, 0)
    (event_file,) = tensorboard_folder(tmp_path).iterdir()
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    full.replace(event_file)  # opened anew for each write, by a thread that may be at it now

    for epoch in range(3):
        log_epoch(logger, epoch)

    assert logger.close() == 3
    for thread in threading.enumerate():
        if thread.daemon and type(thread).__module__.startswith("tensorboard"):
            thread.join()


def test_where_tensorboard_is_missing_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_tensorboard()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ChildFailure, match=r"tensorboard is not installed.*nnunet_assets\[tensorboard\]"):
        require_tensorboard()


@pytest.mark.faults
def test_a_fold_without_the_package_fails_before_it_trains(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['tensorboard'] = None\n")
    paths = os.pathsep.join(filter(None, [str(hidden), os.environ.get("PYTHONPATH")]))
    project = PhantomProject(roots_in(tmp_path), environment={**os.environ, "PYTHONPATH": paths}).build()
    project.prepare()

    with pytest.raises(FoldFailed, match="Python package tensorboard is not installed") as failed:
        project.train("fold_0", options=TrainingOptions(tensorboard=True))

    assert failed.value.code == ExitCode.BAD_INPUT
    assert not list(EXPERIMENT.fold_folder(project.roots, "fold_0").glob("*.pth"))
