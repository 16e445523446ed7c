"""Rows as a pandas DataFrame, for notebooks: pandas is loaded here, when somebody asks for one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame as DataFrame  # noqa: PLC0414 (for whoever returns one)


def data_frame(rows: Sequence[Mapping[str, object]]) -> "DataFrame":
    """Returns rows as a DataFrame, with every column that one of them has, in order; None becomes NaN in numbers."""
    import pandas

    columns = dict.fromkeys(column for row in rows for column in row)
    frame = pandas.DataFrame(list(rows), columns=list(columns))
    for column in frame.columns:
        # A column of nothing but None, or of numbers and None, is one of numbers.
        if all(value is None or isinstance(value, int | float) for value in frame[column]):
            frame[column] = pandas.to_numeric(frame[column])
    return frame
