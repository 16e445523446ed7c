"""What a training is asked where nobody asks for anything."""

from dataclasses import asdict

from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.core.training.watch import Watch


def test_checkpoints_stay_where_they_are_asked_for() -> None:
    assert TrainingOptions(checkpoints_kept=5).n_kept_checkpoints == 0
    assert TrainingOptions(checkpoints_kept=5, checkpoint_every=50).n_kept_checkpoints == 5


def test_is_nnunets_own_training_saved_every_ten_minutes() -> None:
    assert asdict(TrainingOptions()) == {
        "pretrained_weights": None,
        "seed": None,
        "deterministic": False,
        "patience": None,
        "restore_best": False,
        "num_gpus": 1,
        "npz": False,
        "disable_checkpointing": False,
        "checkpoint_minutes": 10.0,
        "checkpoint_every": None,
        "checkpoints_kept": 3,
        "time_budget_minutes": None,
        "tensorboard": False,
        "watch": asdict(Watch()),
        "validation_only": False,
        "val_best": False,
    }
