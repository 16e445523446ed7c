"""The gradient's curve of a fold: there where it was watched, and the same for the same records."""

import struct

from nnunet_assets.core.fold.journal import Record
from nnunet_assets.reports.figures.gradient_curve import gradient_curve_png
from nnunet_assets.reports.figures.small_picture import small_jpeg

WATCHED = {"gradient_norm_mean": 2.0, "gradient_norm_max": 9.0, "gradient_spikes": 0.0, "iteration_seconds": 0.5}


def epochs(*values: dict[str, float | None]) -> list[Record]:
    return [Record("epoch", number, number, one) for number, one in enumerate(values)]


def test_a_fold_that_was_not_watched_has_none() -> None:
    assert gradient_curve_png([]) is None
    assert gradient_curve_png(epochs({"train_loss": 0.5, "gradient_norm_mean": None})) is None


def test_the_same_records_give_the_same_picture_and_a_spike_another() -> None:
    calm = epochs(WATCHED, {**WATCHED, "gradient_norm_mean": None}, WATCHED)
    spiky = epochs(WATCHED, {**WATCHED, "gradient_norm_mean": None}, {**WATCHED, "gradient_spikes": 2.0})
    png = gradient_curve_png(calm)
    assert png is not None
    assert struct.unpack(">II", png[16:24]) == (640, 360)
    assert gradient_curve_png(calm) == png
    assert gradient_curve_png(spiky) != png


def test_a_small_picture_is_a_jpeg_of_the_width_asked_for() -> None:
    import io

    from PIL import Image

    png = gradient_curve_png(epochs(WATCHED))
    assert png is not None
    small = Image.open(io.BytesIO(small_jpeg(png, width=320)))
    assert (small.format, small.size) == ("JPEG", (320, 180))
    assert Image.open(io.BytesIO(small_jpeg(png, width=6400))).size == (640, 360)
