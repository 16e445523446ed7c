"""Numbered checkpoints: which are kept, what a kill between writing and removing leaves, and what goes on from them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.progress import SILENT
from nnunet_assets.nnunet.checkpoints import numbered
from nnunet_assets.nnunet.checkpoints.checkpoints import LATEST, RECORD, is_own_checkpoint, newest_checkpoint
from nnunet_assets.nnunet.checkpoints.numbered import (
    is_numbered,
    keep_numbered,
    numbered_checkpoints,
    numbered_name,
    remove_older,
)
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets_tests.nnunet.checkpoints.test_checkpoints import Trainer, epoch_in, safely, save, seen
from nnunet_assets_tests.recorded_progress import RecordedProgress


def trained(folder: Path, epochs: range, *, every: int = 2, kept: int = 2, progress: Any = SILENT) -> Any:
    """Trains epochs with a checkpoint every so many, as a process that begins or goes on does."""
    trainer = safely(Trainer(epochs.start), folder)
    keep_numbered(trainer, folder, every=every, kept=kept, progress=progress)
    for _ in epochs:
        trainer.on_epoch_end()
    return trainer


def numbers(folder: Path) -> list[int]:
    return [number for number, _ in numbered_checkpoints(folder)]


def test_the_newest_stay_each_as_nnunet_would_have_written_it(tmp_path: Path) -> None:
    trainer = trained(tmp_path, range(9))

    assert seen(tmp_path) == ["checkpoint_epoch_0006.pth", "checkpoint_epoch_0008.pth"]
    # nnU-Net counts the epoch after it has written its checkpoint.
    assert [epoch_in(path) for _, path in numbered_checkpoints(tmp_path)] == [5, 7]
    assert all(is_own_checkpoint(tmp_path, path) for _, path in numbered_checkpoints(tmp_path))
    assert trainer.current_epoch == 9
    assert "checkpoint_epoch_0002.pth" not in json.loads((tmp_path / RECORD).read_text())


def test_what_they_take_is_said_once(tmp_path: Path) -> None:
    progress = RecordedProgress()
    trained(tmp_path, range(6), progress=progress)

    (said,) = progress.said
    assert said.startswith("checkpoint_epoch_0002.pth is kept (")
    assert "one every 2 epochs, and of them the newest 2: " in said


def test_a_kill_before_the_oldest_is_removed_leaves_one_more_until_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path, range(4))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(numbered, "remove_older", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, range(4, 6))
    assert numbers(tmp_path) == [2, 4, 6]
    trained(tmp_path, range(6, 8))
    assert numbers(tmp_path) == [6, 8]


def test_a_training_goes_on_from_the_newest_that_is_whole(tmp_path: Path) -> None:
    trained(tmp_path, range(4))
    save(tmp_path, LATEST, epoch=2)
    assert newest_checkpoint(tmp_path, SILENT) == tmp_path / numbered_name(4)

    (tmp_path / numbered_name(4)).write_bytes(b"torn")
    progress = RecordedProgress()
    assert newest_checkpoint(tmp_path, progress) == tmp_path / LATEST
    assert progress.said == [
        "checkpoint_epoch_0004.pth is damaged and cannot be used; looking for an older checkpoint."
    ]
    (tmp_path / LATEST).unlink()
    assert newest_checkpoint(tmp_path, SILENT) == tmp_path / numbered_name(2)


def test_of_a_training_that_was_set_back_the_later_ones_do_not_push_out_those_of_now(tmp_path: Path) -> None:
    trained(tmp_path, range(6), kept=3)
    trained(tmp_path, range(2, 4), kept=1)

    assert numbers(tmp_path) == [4, 6]


def test_one_that_another_program_wrote_is_not_gone_on_from_in_silence(tmp_path: Path) -> None:
    import torch

    trained(tmp_path, range(2))
    torch.save({"epoch": 1}, tmp_path / numbered_name(9))

    with pytest.raises(ChildFailure, match=r"checkpoint_epoch_0009.pth was written by another program"):
        newest_checkpoint(tmp_path, SILENT)


def test_what_is_called_otherwise_is_nobodys_to_remove(tmp_path: Path) -> None:
    names = ["checkpoint_epoch_1.pth", "checkpoint_epoch_0001.pth.bak", "checkpoint_epoch_0001_mine.pth"]
    for name in names:
        (tmp_path / name).touch()
    trained(tmp_path, range(9))

    assert set(names) <= {*seen(tmp_path)}
    assert not any(map(is_numbered, names))


@settings(max_examples=30)
@given(st.sets(st.integers(1, 12000), max_size=9), st.integers(1, 4), st.integers(0, 13000))
def test_after_any_retention_the_newest_up_to_now_are_there(
    tmp_path_factory: pytest.TempPathFactory, there: set[int], kept: int, now: int
) -> None:
    folder = tmp_path_factory.mktemp("fold")
    for number in there:
        (folder / numbered_name(number)).touch()
    remove_older(folder, now, kept)

    past = sorted(number for number in there if number <= now)
    assert numbers(folder) == sorted({*past[-kept:], *(number for number in there if number > now)})
