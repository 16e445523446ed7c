"""The hyperparameters and final scores that TensorBoard shows of a fold, read back by its own plugin."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.watching.board import open_board, write_results
from nnunet_assets.nnunet.watching.tensorboard_logger import tensorboard_folder
from nnunet_assets_tests.builders import build_attempt
from nnunet_assets_tests.nnunet.watching.test_watcher import shown, steps
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, tiny

__all__ = ["tiny"]

pytestmark = pytest.mark.filterwarnings("ignore")  # of what nnU-Net looks through for a trainer


def hyperparameters(folder: Path) -> dict[str, Any]:
    """Returns what the plugin's own reader finds."""
    from tensorboard.plugins.hparams import metadata

    events = shown(tensorboard_folder(folder))
    content = events.summary_metadata[metadata.SESSION_START_INFO_TAG].plugin_data.content
    values = metadata.parse_session_start_info_plugin_data(content).hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}


def test_a_validated_fold_shows_its_settings_beside_its_scores_once(tiny: TinyTrainers, tmp_path: Path) -> None:
    trainer = tiny.initialized("nnUNetTrainerSliceWise", initial_lr=2e-4)
    trainer.output_folder, trainer.current_epoch = str(tmp_path), 7
    trainer.do_split = lambda: (["a"], ["b"])
    options = TrainingOptions(tensorboard=True, seed=3)
    attempt = replace(build_attempt(tmp_path), options=options, overrides={"max_lr": 0.005})

    for dice in (0.5, 0.75):  # it is validated twice
        assert write_results(trainer, attempt, {"val_dice_mean": dice, "val_dice/lesion": None}) == 0

    found = hyperparameters(tmp_path)
    expected = {"initial_lr": 2e-4, "max_lr": 0.005, "optimizer_name": "AdamW", "batch_size": 2, "seed": 3}
    assert expected.items() <= found.items()
    assert found["patch_size"] == "[16, 20, 24]"
    assert "current_epoch" not in found
    events = shown(tensorboard_folder(tmp_path))
    assert events.Tags()["scalars"] == ["val_dice_mean"]
    assert steps(events.Scalars("val_dice_mean")) == [7]
    assert events.Scalars("val_dice_mean")[0].value == 0.75


def test_where_nobody_asked_for_it_nothing_is_written(tiny: TinyTrainers, tmp_path: Path) -> None:
    trainer = tiny.build("nnUNetTrainer")
    assert open_board(trainer, TrainingOptions()) is None
    assert write_results(trainer, build_attempt(tmp_path), {"val_dice_mean": 0.5}) == 0
    assert not list(tmp_path.rglob("events*"))
