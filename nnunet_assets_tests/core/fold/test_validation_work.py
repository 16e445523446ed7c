"""How long a validation may take, before it begins."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.fold.fold import finished_siblings
from nnunet_assets.core.fold.validation_work import FILE, ValidationWork, pass_seconds_of_others, trained_epoch
from nnunet_assets_tests.builders import build_manifest

# An epoch of 15 steps and 2 validation steps of 2 patches is 2 * 30 + 4 = 64 passes.
WORK = ValidationWork({"small": 8, "large": 120}, 64.0, "cpu")


def finished(model: Path, fold: str, *, passes: int, seconds: float, device: str = "cpu") -> Path:
    folder = model / fold
    ValidationWork({"a": passes}, 64.0, device).write(folder)
    took = {"training": 1.0, "validation": seconds}
    commit_fold(folder, replace(build_manifest(folder), device=device, seconds=took))
    return folder


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert ValidationWork.read(tmp_path) is None
    WORK.write(tmp_path)
    assert ValidationWork.read(tmp_path) == WORK
    for damaged in ("[]", "null", "{", '{"passes": 3}', '{"passes": {"a": null}, "epoch_passes": 1, "device": ""}'):
        (tmp_path / FILE).write_text(damaged)
        assert ValidationWork.read(tmp_path) is None


def test_the_training_says_how_long_a_pass_takes_until_another_fold_does() -> None:
    assert WORK.seconds(epoch_seconds=32.0, pass_seconds=None) == pytest.approx(64.0)
    assert WORK.seconds(epoch_seconds=32.0, pass_seconds=2.0) == pytest.approx(256.0)
    assert WORK.seconds(epoch_seconds=None, pass_seconds=None) is None
    assert WORK.share_of(["small"]) == pytest.approx(8 / 128)
    assert ValidationWork({}, 64.0, "cpu").share_of([]) == 1.0


def test_other_folds_on_such_a_device_say_what_a_pass_takes(tmp_path: Path) -> None:
    mine = tmp_path / "fold_0"
    WORK.write(mine)
    assert pass_seconds_of_others(mine, "cpu") is None
    finished(tmp_path, "fold_1", passes=10, seconds=30.0)
    finished(tmp_path, "fold_2", passes=30, seconds=10.0)
    finished(tmp_path, "fold_3", passes=1, seconds=500.0, device="NVIDIA A100")
    assert pass_seconds_of_others(mine, "cpu") == pytest.approx(1.0)
    assert [folder.name for folder, _ in finished_siblings(tmp_path / "fold_2")] == ["fold_1", "fold_3"]
    assert trained_epoch(mine, 0, 3, {"epoch_seconds": 10.0}).seconds_left == pytest.approx(2 * 10.0 + 128.0)


def test_an_epoch_of_a_fold_of_which_nobody_counted_is_told_without(tmp_path: Path) -> None:
    assert str(trained_epoch(tmp_path, 0, 3, {"epoch_seconds": 10.0})).endswith("about 0:20 left and the validation")


def test_an_epoch_of_no_passes_says_nothing_and_a_full_disk_costs_no_more_than_the_estimate(tmp_path: Path) -> None:
    assert ValidationWork({"a": 1}, 0.0, "cpu").seconds(10.0, None) is None
    assert ValidationWork({"a": 3}, 0.0, "cpu").seconds(10.0, 2.0) == 6.0
    assert WORK.n_passes == 128
    assert ValidationWork({"a": 1, "b": 3}, 1.0, "cpu").share_of(["b", "a"]) == 1.0
    (tmp_path / ".nnunet_assets").write_text("no folder")
    WORK.write(tmp_path)
    assert ValidationWork.read(tmp_path) is None


def test_folds_that_nobody_counted_or_that_were_not_validated_say_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "fold_0"
    WORK.write(mine)
    (finished(tmp_path, "fold_1", passes=10, seconds=30.0) / FILE).unlink()
    second = finished(tmp_path, "fold_2", passes=10, seconds=30.0)
    commit_fold(second, replace(build_manifest(second), device="cpu", seconds={"training": 1.0}))
    assert pass_seconds_of_others(mine, "cpu") is None
    finished(tmp_path, "fold_3", passes=0, seconds=30.0)
    assert pass_seconds_of_others(mine, "cpu") is None
