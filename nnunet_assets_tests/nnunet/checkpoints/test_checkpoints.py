"""Checkpoints on disk: written whole or not at all, often enough, and the right one found again."""

import errno
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.progress import SILENT
from nnunet_assets.nnunet.checkpoints import checkpoints
from nnunet_assets.nnunet.checkpoints.checkpoints import (
    BEST,
    FINAL,
    LATEST,
    forget_previous_checkpoint,
    newest_checkpoint,
    random_state_of,
    save_checkpoints_safely,
    set_odd_best_aside,
)
from nnunet_assets.nnunet.checkpoints.random_state import restore_random_state
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.late_imports import Late
from nnunet_assets_tests.recorded_progress import RecordedProgress

torch = Late("torch")


class Trainer:
    """What is bound of nnU-Net's trainer, with a network of one layer."""

    save_checkpoint: Any

    def __init__(self, epoch: int = 7) -> None:
        self.save_checkpoint = self._save
        self.current_epoch = epoch
        self.num_epochs = 1000
        self.save_every = 50
        self.disable_checkpointing = False
        self.network = torch.nn.Linear(2, 2)

    def _save(self, filename: Any) -> None:
        if not self.disable_checkpointing:
            torch.save({"network_weights": self.network.state_dict(), "epoch": self.current_epoch}, filename)

    def on_epoch_end(self) -> None:
        self.current_epoch += 1


def epoch_in(path: Any) -> Any:
    return torch.load(path)["epoch"]


def safely(trainer: Any, folder: Any, **changes: Any) -> Any:
    (folder / OWN_FOLDER).mkdir(exist_ok=True)
    save_checkpoints_safely(trainer, folder, **{"minutes": 10, **changes})
    return trainer


def save(folder: Any, name: Any, epoch: Any) -> None:
    safely(Trainer(epoch), folder).save_checkpoint(str(folder / name))


def seen(folder: Any) -> Any:
    return sorted(path.name for path in folder.iterdir() if path.name != OWN_FOLDER)


# --- saving -------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_saved_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    save(tmp_path, LATEST, epoch=7)
    assert epoch_in(tmp_path / LATEST) == 7
    assert seen(tmp_path) == [LATEST]


def test_the_checkpoint_that_is_replaced_is_kept_until_the_next(tmp_path: Path) -> None:
    for epoch in (7, 8, 9):
        save(tmp_path, LATEST, epoch)
    assert epoch_in(tmp_path / LATEST) == 9
    assert epoch_in(tmp_path / checkpoints.PREVIOUS) == 8
    forget_previous_checkpoint(tmp_path)
    assert not (tmp_path / checkpoints.PREVIOUS).exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full"), RuntimeError("anything")])
def test_a_save_that_fails_leaves_the_old_checkpoint_whole(tmp_path: Path, error: Any) -> None:
    save(tmp_path, BEST, epoch=7)
    trainer = Trainer()

    def half_a_save(filename: Any) -> None:
        with open(filename, "wb") as file:  # noqa: PTH123 - as nnU-Net does
            file.write(b"half")
        raise error

    trainer.save_checkpoint = half_a_save
    safely(trainer, tmp_path)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        trainer.save_checkpoint(str(tmp_path / BEST))
    assert epoch_in(tmp_path / BEST) == 7
    assert seen(tmp_path) == [BEST]


@pytest.mark.parametrize("n_weights", [1, 1_000_000])  # torch words it differently where the file is small
def test_a_full_disk_is_known_behind_the_error_of_torch(tmp_path: Path, n_weights: int) -> None:
    with suppress(RuntimeError, OSError):
        torch.save(torch.zeros(n_weights), "/dev/full")
        pytest.skip("this torch loses so small a file without a word; a later test is of what that leaves")
    save(tmp_path, BEST, epoch=7)
    trainer = Trainer()
    trainer.save_checkpoint = lambda _: torch.save(torch.zeros(n_weights), "/dev/full")
    safely(trainer, tmp_path)
    with pytest.raises(ChildFailure, match=r"no space is left on the disk\. The last checkpoint stands") as caught:
        trainer.save_checkpoint(str(tmp_path / BEST))
    assert caught.value.code == ExitCode.NO_SPACE
    assert epoch_in(tmp_path / BEST) == 7


@pytest.fixture(params=[True, False], ids=["with torch's checksums", "without"])
def _checksums(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(request.param)
    yield
    torch.serialization.set_crc32_options(before)


@pytest.mark.usefixtures("_checksums")
def test_a_checkpoint_that_torch_wrote_cut_without_a_word_never_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    save(tmp_path, BEST, epoch=7)
    before = (tmp_path / BEST).read_bytes()
    recorded = (tmp_path / checkpoints.RECORD).read_bytes()
    trainer = Trainer()
    whole, missing = trainer.save_checkpoint, [0]

    def cut(filename: Any) -> None:
        whole(filename)
        os.truncate(filename, os.path.getsize(filename) - missing[0])  # noqa: PTH202

    trainer.save_checkpoint = cut
    safely(trainer, tmp_path)
    for n_missing in (*range(1, 301), len(before)):
        missing[0] = n_missing
        with pytest.raises(ChildFailure, match=r"no space is left on the disk\. The last checkpoint stands") as caught:
            trainer.save_checkpoint(str(tmp_path / BEST))
        assert caught.value.code == ExitCode.NO_SPACE
    assert seen(tmp_path) == [BEST]
    assert ((tmp_path / BEST).read_bytes(), (tmp_path / checkpoints.RECORD).read_bytes()) == (before, recorded)
    missing[0] = 0
    trainer.save_checkpoint(str(tmp_path / BEST))
    assert (tmp_path / BEST).exists()


def test_a_kill_in_the_middle_of_a_save_leaves_the_old_checkpoint_whole(tmp_path: Path) -> None:
    save(tmp_path, BEST, epoch=7)
    code = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from nnunet_assets.nnunet.checkpoints.checkpoints import save_checkpoints_safely
def half_a_save(filename):
    with open(filename, "wb") as file:
        file.write(b"half")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
trainer = SimpleNamespace(save_checkpoint=half_a_save, on_epoch_end=None, disable_checkpointing=False, current_epoch=7)
save_checkpoints_safely(trainer, Path(sys.argv[1]).parent, minutes=10)
trainer.save_checkpoint(sys.argv[1])
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path / BEST], check=False)
    assert done.returncode == -9
    assert seen(tmp_path) == [f".{BEST}.part", BEST]
    assert newest_checkpoint(tmp_path, RecordedProgress(pytest.fail)) == tmp_path / BEST
    assert epoch_in(tmp_path / BEST) == 7
    assert seen(tmp_path) == [BEST]


def test_what_a_kill_left_is_never_taken_for_a_checkpoint(tmp_path: Path) -> None:
    trainer = safely(Trainer(), tmp_path)
    trainer.disable_checkpointing = True
    (tmp_path / f".{FINAL}.part").write_bytes(b"torn")
    trainer.save_checkpoint(str(tmp_path / FINAL))
    assert seen(tmp_path) == []


def test_the_journal_is_waited_for_before_a_checkpoint_takes_its_place(tmp_path: Path) -> None:
    place = tmp_path / LATEST
    there_then = []
    trainer = safely(Trainer(), tmp_path, wait_for_journal=lambda: there_then.append(place.exists()))
    trainer.save_checkpoint(str(place))
    assert there_then == [False]
    assert place.exists()


def test_a_checkpoint_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save(tmp_path, BEST, epoch=7)
    finally:
        os.umask(before)
    assert (tmp_path / BEST).stat().st_mode & 0o777 == 0o640


# --- often enough -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes_an_epoch", "saved_after"),
    [
        (1, [9, 19]),
        (4, [1, 3, 5]),  # a third epoch would end two minutes too late
        (20, [0, 1, 2]),  # an epoch is longer than what may be lost
    ],
)
def test_no_more_than_ten_minutes_or_an_epoch_can_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes_an_epoch: int, saved_after: list[int]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    saved = []

    class Saving(Trainer):
        def on_epoch_end(self) -> None:
            if (self.current_epoch + 1) % self.save_every == 0:
                saved.append(self.current_epoch)
                self.save_checkpoint(str(tmp_path / LATEST))
            super().on_epoch_end()

    trainer = safely(Saving(epoch=0), tmp_path, minutes=10)
    for _ in range(saved_after[-1] + 1):
        clock[0] += 60 * minutes_an_epoch
        trainer.on_epoch_end()
    assert saved == saved_after
    assert trainer.save_every == 50


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ({}, None),
        ({BEST: 3}, BEST),
        ({LATEST: 50, BEST: 63}, BEST),  # nnU-Net would resume from the older one
        ({LATEST: 50, BEST: 13}, LATEST),
        ({BEST: 63, FINAL: 63}, FINAL),
    ],
)
def test_the_final_checkpoint_or_else_that_of_the_latest_epoch_is_taken(
    tmp_path: Path, epochs: dict[str, Any] | dict[Any, Any], expected: Any
) -> None:
    for name, epoch in epochs.items():
        save(tmp_path, name, epoch)
    assert newest_checkpoint(tmp_path, RecordedProgress(pytest.fail)) == (expected and tmp_path / expected)


def spoil(path: Any, how: Any) -> None:
    content = bytearray(path.read_bytes())
    if how == "torn":
        content = content[:-500]
    elif how == "empty":
        content = bytearray()
    else:  # among the weights, wherever this torch has them: names and padding of the archive have no checksum
        with zipfile.ZipFile(path) as archive:
            weights = archive.read(max(archive.infolist(), key=lambda entry: entry.file_size))
        content[content.index(weights) + len(weights) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["torn", "empty", "a flipped bit"])
@pytest.mark.parametrize("name", [FINAL, BEST])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_it_and_says_so(tmp_path: Path, name: Any, how: str) -> None:
    save(tmp_path, LATEST, 50)
    save(tmp_path, name, 63)
    spoil(tmp_path / name, how)
    said: list[str] = []
    assert newest_checkpoint(tmp_path, RecordedProgress(said.append)) == tmp_path / LATEST
    assert said == [f"{name} is damaged and cannot be used; looking for an older checkpoint."]


def test_the_replaced_checkpoint_is_the_last_resort(tmp_path: Path) -> None:
    save(tmp_path, LATEST, 50)
    save(tmp_path, LATEST, 100)
    spoil(tmp_path / LATEST, "torn")
    assert newest_checkpoint(tmp_path, SILENT) == tmp_path / checkpoints.PREVIOUS


def test_of_one_epoch_the_best_checkpoint_is_taken_for_it_knows_that_it_is_the_best(tmp_path: Path) -> None:
    save(tmp_path, BEST, 50)
    save(tmp_path, LATEST, 50)
    assert newest_checkpoint(tmp_path, RecordedProgress(pytest.fail)) == tmp_path / BEST


def test_a_kill_between_the_record_and_the_rename_leaves_every_checkpoint_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in (1, 2):
        save(tmp_path, BEST, epoch)
    for _ in range(3):

        class PowerLossError(Exception):
            pass

        def no_rename(*_: Any) -> None:
            raise PowerLossError

        with monkeypatch.context() as dying:
            dying.setattr(Path, "replace", no_rename)
            dying.setattr(checkpoints, "write_json_atomically", lambda path, value: path.write_text(json.dumps(value)))
            with pytest.raises(PowerLossError):
                save(tmp_path, BEST, 3)
        assert newest_checkpoint(tmp_path, SILENT) == tmp_path / BEST
    assert epoch_in(tmp_path / BEST) == 2


@pytest.mark.parametrize("name", [LATEST, FINAL])
def test_what_another_program_trained_in_a_fold_that_had_saved_nothing_is_not_taken_for_its_own(
    tmp_path: Path, name: Any
) -> None:
    safely(Trainer(epoch=0), tmp_path)  # killed before its first checkpoint
    Trainer(epoch=80).save_checkpoint(str(tmp_path / name))
    with pytest.raises(ChildFailure, match=rf"{name} was written by another program"):
        newest_checkpoint(tmp_path, RecordedProgress(pytest.fail))


@pytest.mark.parametrize("how", ["torn", "a flipped bit"])
def test_a_best_checkpoint_that_is_damaged_keeps_its_name_in_no_finished_fold(tmp_path: Path, how: str) -> None:
    save(tmp_path, BEST, 3)
    save(tmp_path, FINAL, 9)
    said: list[str] = []
    set_odd_best_aside(tmp_path, RecordedProgress(said.append))
    assert (seen(tmp_path), said) == ([BEST, FINAL], [])
    spoil(tmp_path / BEST, how)
    set_odd_best_aside(tmp_path, RecordedProgress(said.append))
    assert seen(tmp_path) == [f"{BEST}.damaged", FINAL]
    assert said == [f"{BEST} is damaged, or was written by another program, and was renamed to {BEST}.damaged."]
    set_odd_best_aside(tmp_path, RecordedProgress(pytest.fail))  # there is none


def test_a_checkpoint_that_another_program_wrote_is_neither_used_nor_overwritten(tmp_path: Path) -> None:
    save(tmp_path, LATEST, 50)
    Trainer(epoch=80).save_checkpoint(str(tmp_path / LATEST))
    with pytest.raises(ChildFailure, match=r"written by another program.*`retrain: true`") as caught:
        newest_checkpoint(tmp_path, RecordedProgress(pytest.fail))
    assert caught.value.code == ExitCode.BAD_INPUT
    assert epoch_in(tmp_path / LATEST) == 80


def test_a_checkpoint_takes_the_random_state_along(tmp_path: Path) -> None:
    torch.manual_seed(3)
    save(tmp_path, LATEST, 50)  # whose weights are drawn before the state is taken
    drawn = torch.rand(2)
    state = random_state_of(tmp_path, tmp_path / LATEST)
    torch.manual_seed(4)
    restore_random_state(state)
    assert torch.equal(torch.rand(2), drawn)
