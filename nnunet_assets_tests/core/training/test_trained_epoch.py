"""What is told of an epoch."""

import pytest

from nnunet_assets.core.training.trained_epoch import TrainedEpoch, duration

KNOWN = {"train_loss": -0.5, "val_loss": 0.25, "pseudo_dice_mean": 0.75, "epoch_seconds": 47.25}


@pytest.mark.parametrize(
    ("n_epochs", "values", "validation_seconds", "line"),
    [
        (
            1000,
            KNOWN,
            None,
            "Epoch 2 (3 of 1000): train loss -0.5000, val loss 0.2500, pseudo Dice 0.7500, 47.2 s, about 13:05:08 left "
            "and the validation",
        ),
        (1000, KNOWN, 3600.0, "47.2 s, about 14:05:08 left with the validation"),
        (
            4,
            {"train_loss": 0.5, "val_loss": None, "epoch_seconds": 309.0},
            0.0,
            "(3 of 4): train loss 0.5000, 309.0 s, about 5:09 left with the validation",
        ),
        (3, {"epoch_seconds": 1.0}, 90.0, "Epoch 2 (3 of 3): 1.0 s, about 1:30 left with the validation"),
        (None, {"train_loss": 0.5, "epoch_seconds": 1.0}, 9.0, "Epoch 2: train loss 0.5000, 1.0 s"),
        (4, {"train_loss": 0.5}, 9.0, "Epoch 2 (3 of 4): train loss 0.5000"),
    ],
)
def test_an_epoch_is_told_by_what_is_known_of_it(
    n_epochs: int | None, values: dict[str, float | None], validation_seconds: float | None, line: str
) -> None:
    assert str(TrainedEpoch(2, n_epochs, values, validation_seconds)).endswith(line)


def test_a_duration_has_hours_where_it_takes_one() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.6, 3599, 3600, 100_000)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "27:46:40",
    ]


def test_what_is_left_is_the_epochs_after_this_one_and_the_validation() -> None:
    assert TrainedEpoch(0, 1, {"epoch_seconds": 5.0}).seconds_left == 0.0
    assert TrainedEpoch(0, 3, {"epoch_seconds": 5.0}, 7.0).seconds_left == 17.0
    assert TrainedEpoch(0, 3, {"epoch_seconds": 0.0}, 7.0).seconds_left == 7.0
    assert TrainedEpoch(0, 0, {"epoch_seconds": 5.0}, 7.0).seconds_left is None
    assert TrainedEpoch(0, None, {"epoch_seconds": 5.0}, 7.0).seconds_left is None
    assert TrainedEpoch(0, 3, {}, 7.0).seconds_left is None
    assert TrainedEpoch(4, 3, {}).n_done == 5


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (60, "1:00"), (61, "1:01"), (3661, "1:01:01"), (7199.6, "2:00:00")]
)
def test_a_duration_has_two_digits_behind_each_colon(seconds: float, text: str) -> None:
    assert duration(seconds) == text
