"""The final checkpoint of a training that ends with its best weights; a real one is among the training options."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.nnunet.checkpoints.checkpoints import BEST, FINAL, save_checkpoints_safely
from nnunet_assets.nnunet.training.best_weights import end_with_best_weights, restored_epoch
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.trainers.tiny_trainers import TinyTrainers, tiny

__all__ = ["tiny"]


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def trainer(tiny: TinyTrainers, tmp_path: Path, progress: RecordedProgress) -> Any:
    """One that ends with its best weights, in an empty folder."""
    trainer = tiny.initialized("nnUNetTrainer")
    trainer.output_folder = str(tmp_path)
    (tmp_path / ".nnunet_assets").mkdir()
    save_checkpoints_safely(trainer, tmp_path, minutes=10)
    trainer.dataloader_train = trainer.dataloader_val = None  # `on_train_end` ends what feeds it
    end_with_best_weights(trainer, progress)
    return trainer


def weights_of(checkpoint: Path) -> dict[str, Any]:
    import torch

    content: dict[str, Any] = torch.load(checkpoint, weights_only=False)
    return content


def test_the_final_checkpoint_has_the_best_weights_and_the_last_epoch(
    trainer: Any, tiny: TinyTrainers, tmp_path: Path, progress: RecordedProgress
) -> None:
    import torch

    tiny.train(trainer, range(1))
    trainer.save_checkpoint(str(tmp_path / BEST))
    tiny.train(trainer, range(1, 2))
    trained = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    trainer.current_epoch = 2
    trainer.on_train_end()

    best, final = weights_of(tmp_path / BEST), weights_of(tmp_path / FINAL)
    assert all(torch.equal(final["network_weights"][name], value) for name, value in best["network_weights"].items())
    assert not all(torch.equal(final["network_weights"][name], value) for name, value in trained.items())
    assert (best["current_epoch"], final["current_epoch"], restored_epoch(tmp_path)) == (1, 2, 0)
    assert "gets the weights of epoch 0" in progress.said[-1]


def test_without_a_best_checkpoint_of_ones_own_it_is_the_last_epochs(
    trainer: Any, tmp_path: Path, progress: RecordedProgress
) -> None:
    (tmp_path / BEST).write_bytes(b"of another program")
    trainer.current_epoch = 2
    trainer.on_train_end()

    assert (tmp_path / FINAL).exists()
    assert restored_epoch(tmp_path) is None
    assert progress.said[-1].startswith(f"There is no {BEST} of this training")
