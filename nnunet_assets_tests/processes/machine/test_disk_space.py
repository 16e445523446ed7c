from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.nnunet.preparation.case_set_making import _refuse_too_little_room
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine.disk_space import lacking_room, needed_checkpoint_bytes


def write(path: Any, n_bytes: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(n_bytes))


def test_a_disk_that_may_have_room_is_not_complained_about(tmp_path: Path) -> None:
    assert lacking_room(tmp_path, 0, "It needs") is None
    lack = lacking_room(tmp_path, 10**17, "It needs")
    assert lack.startswith("It needs at least 100000000.00 GB on the disk, and ")
    assert f" GB are free at {tmp_path}." in lack


def test_a_fold_needs_three_checkpoints_as_large_as_another_folds_less_what_it_has(tmp_path: Path) -> None:
    fold = tmp_path / "fold_0"
    assert needed_checkpoint_bytes(fold) == 0
    write(tmp_path / "fold_1" / "checkpoint_final.pth", 100)
    assert needed_checkpoint_bytes(fold) == 300
    assert needed_checkpoint_bytes(fold, n_kept=2) == 500
    write(fold / "checkpoint_latest.pth", 90)
    write(fold / ".nnunet_assets" / "checkpoint_previous.pth", 90)
    assert needed_checkpoint_bytes(fold) == 120
    write(fold / "checkpoint_best.pth", 500)
    assert needed_checkpoint_bytes(fold) == 1500 - 680


def test_preprocessing_counts_what_is_to_be_made(tmp_path: Path) -> None:
    _refuse_too_little_room(tmp_path, "3d_fullres", 10**17, 0.0)
    with pytest.raises(ChildFailure, match=r"Preprocessing for 3d_fullres needs at least 50000000\.00 GB") as failed:
        _refuse_too_little_room(tmp_path, "3d_fullres", 10**17, 0.5)
    assert failed.value.code == ExitCode.NO_SPACE
