"""Rows of any table as CSV, Parquet and Markdown, each safe for what reads it.

Numbers in CSV and Parquet have full precision; None is an empty cell or null, never 0.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from nnunet_assets.reports.text.escaping import defuse_csv

FOREGROUND = "foreground mean"
"""What stands in the column of labels for the mean over them."""

Cell = str | int | float | None
Row = dict[str, Cell]


def label_cells(label: str | None) -> Row:
    """Returns the cells `level` (`label` or `foreground`) and `label`; None: the foreground's."""
    return {"level": "foreground" if label is None else "label", "label": FOREGROUND if label is None else label}


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Returns rows as CSV with a header; text that a spreadsheet would run is defused, None is an empty cell."""
    text = io.StringIO()
    # A float is written by its repr, which reads back as the same float. Lines end as in RFC 4180, csv's default:
    # with "\n" alone, csv would leave a carriage return in a name unquoted.
    writer = csv.DictWriter(text, fieldnames=columns)
    writer.writeheader()
    writer.writerows(
        {column: defuse_csv(cell) if isinstance(cell, str) else _unsigned_zero(cell) for column, cell in row.items()}
        for row in rows
    )
    return text.getvalue()


def _unsigned_zero(cell: Cell) -> Cell:
    return 0.0 if isinstance(cell, float) and cell == 0 else cell


def parquet_bytes(columns: Mapping[str, type], rows: Sequence[Row]) -> bytes:
    """Returns rows as a Parquet file; None is null.

    Args:
        columns: Column to `str`, `int`, `float` or `bool`: without a type a column of nulls alone would have none.
        rows: None at all gives an empty table.
    """
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), file)
    return file.getvalue()


def markdown_table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table of cells that are escaped already; the first column is aligned left."""
    alignment = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, alignment, *rows))
