"""Rows as data frames."""

import math

from nnunet_assets.core.files.data_frames import data_frame


def test_numbers_are_numbers_where_some_are_missing_and_text_stays_text() -> None:
    frame = data_frame([{"name": "a", "dice": 0.5, "loss": None}, {"name": None, "dice": None, "loss": None, "n": 3}])
    assert list(frame.columns) == ["name", "dice", "loss", "n"]
    assert (frame["dice"].dtype, frame["loss"].dtype) == ("float64", "float64")
    assert (frame["dice"][0], frame["name"][0], frame["n"][1]) == (0.5, "a", 3)
    assert math.isnan(frame["dice"][1])


def test_of_no_rows_there_is_an_empty_one() -> None:
    assert data_frame([]).shape == (0, 0)
