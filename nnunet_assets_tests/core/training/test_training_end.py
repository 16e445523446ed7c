"""What the last epoch of a fold came to."""

import pytest

from nnunet_assets.core.training.training_end import TrainingEnd, training_end


def test_it_has_the_last_loss_and_the_moving_average_of_the_pseudo_dice() -> None:
    values = {"val_loss": -0.5, "pseudo_dice_ema": 0, "train_loss": -0.6}
    assert training_end(values, "run") == TrainingEnd("run", "FINISHED", -0.5, 0.0)
    assert training_end(values, None, "FAILED").status == "FAILED"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "0.5", True])
def test_what_is_no_number_is_not_known(value: object) -> None:
    assert training_end({"val_loss": value}, None) == TrainingEnd()
