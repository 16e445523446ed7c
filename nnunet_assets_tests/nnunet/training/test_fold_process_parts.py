"""What the fold process does before and beside a training, without one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.nnunet.training import fold_process
from nnunet_assets.nnunet.training.devices import resolve_device
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.builders import build_attempt

# --- the journal of a fold that goes on ---------------------------------------------------------------------------


def go_on(folder: Any, n_epochs: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens the journal for a trainer that has so many epochs; returns what was said."""
    monkeypatch.setattr(fold_process, "training_parameters", lambda *_, **__: {"trainer": {"initial_lr": 0.01}})
    trainer = SimpleNamespace(
        current_epoch=n_epochs,
        output_folder=str(folder),
        was_initialized=True,
        logger=SimpleNamespace(loggers=[]),
        label_manager=SimpleNamespace(has_regions=False, foreground_labels=[1]),
        dataset_json={"labels": {"background": 0, "organ": 1}},
    )
    said: list[str] = []
    fold_process._open_journal(trainer, build_attempt(folder), {}, said.append).close()
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


def test_the_time_of_a_training_is_that_of_every_epoch_that_can_be_read(tmp_path: Path) -> None:
    path = journal_path(tmp_path)
    append_record(path, "start", {"attempt": "a"})
    for epoch in range(4):
        append_record(path, "epoch", {"epoch_seconds": 2.0**epoch}, epoch)
    append_record(path, "end", {"val_dice_mean": 0.5})
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"deadbeef" + lines[2][8:]
    path.write_bytes(b"".join(lines))
    trainer: Any = SimpleNamespace(output_folder=str(tmp_path), current_epoch=4)
    assert fold_process._training_seconds(trainer) == 1 + 4 + 8


# --- what is not there --------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_an_error_and_nothing_falls_back_to_another() -> None:
    message = r"Device 'mps' was asked for, but torch .* finds only: .*cpu"
    with pytest.raises(ChildFailure, match=message) as caught:
        resolve_device("mps")
    assert caught.value.code == ExitCode.BAD_INPUT
