import io
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.reports.figures.curves import learning_curve_png


def epoch(number: Any, train_loss: Any, val_loss: Any = None, mean: Any = None, ema: Any = None) -> Any:
    values = {
        "train_loss": train_loss,
        "val_loss": val_loss,
        "pseudo_dice_mean": mean,
        "pseudo_dice_ema": ema,
        "learning_rate": 0.01,
    }
    return Record("epoch", 1000 * number, number, values)


def pixels(png: Any) -> Any:
    from matplotlib.image import imread

    return imread(io.BytesIO(png), format="png")


def has_colour(png: Any, hexadecimal: Any, tolerance: float = 0.02) -> Any:
    wanted = [int(hexadecimal[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    return bool((np.abs(pixels(png)[..., :3] - wanted) < tolerance).all(axis=-1).any())


BLUE, VERMILLION, GREEN = "0072B2", "D55E00", "009E73"
EPOCHS = [epoch(k, 0.5 - 0.1 * k, 0.4 - 0.05 * k, 0.2 * k, 0.1 * k) for k in range(5)]


def test_the_figure_is_small_and_shows_losses_and_pseudo_dice() -> None:
    png = learning_curve_png(EPOCHS)
    assert pixels(png).shape[:2] == (360, 640)
    assert all(has_colour(png, colour) for colour in (BLUE, VERMILLION, GREEN))


def test_the_same_records_give_the_same_bytes() -> None:
    assert learning_curve_png(EPOCHS) == learning_curve_png(iter(EPOCHS))


def test_only_epoch_records_are_drawn() -> None:
    others = [Record("start", 0, None, {"trainer": "nnUNetTrainer"}), Record("end", 9, None, {"val_dice_mean": 0.5})]
    assert learning_curve_png([*others, *EPOCHS]) == learning_curve_png(EPOCHS)


def test_without_any_epoch_the_figure_says_so_instead_of_failing() -> None:
    png = learning_curve_png([Record("start", 0, None, {})])
    assert pixels(png).shape[:2] == (360, 640)
    assert (pixels(png)[..., 0] < 0.5).any()


def test_a_series_without_values_is_not_drawn() -> None:
    png = learning_curve_png([epoch(k, 0.5 - 0.1 * k) for k in range(5)])
    assert has_colour(png, BLUE)
    assert not has_colour(png, VERMILLION)
    assert not has_colour(png, GREEN)


@pytest.mark.parametrize("records", [EPOCHS[:1], [epoch(0, None)], [Record("epoch", 0, 0, {})]])
def test_one_epoch_with_or_without_values_is_a_figure(records: Any) -> None:
    assert pixels(learning_curve_png(records)).shape[:2] == (360, 640)


def test_a_single_epoch_is_visible() -> None:
    assert has_colour(learning_curve_png(EPOCHS[:1]), BLUE)


def test_an_undefined_value_is_a_gap() -> None:
    gap = [*EPOCHS[:2], epoch(2, None, None, None, None), *EPOCHS[3:]]
    assert learning_curve_png(gap) != learning_curve_png(EPOCHS)
    assert has_colour(learning_curve_png(gap), BLUE)


def test_of_an_epoch_that_is_there_twice_the_later_record_counts() -> None:
    assert learning_curve_png([epoch(1, 9.0), *EPOCHS]) == learning_curve_png(EPOCHS)


def test_drawing_leaves_no_figure_open_in_pyplot() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    learning_curve_png(EPOCHS)
    assert pyplot.get_fignums() == before
