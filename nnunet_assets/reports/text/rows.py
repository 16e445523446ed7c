"""Rows of any table as CSV, Parquet and Markdown, each safe for what reads it.

Numbers in CSV and Parquet have full precision; None is an empty cell or null, never 0.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from nnunet_assets.core.summary.summary_rows import Cell
from nnunet_assets.reports.text.escaping import defuse_csv

Rows = Iterable[Mapping[str, Cell]]


def csv_text(columns: Sequence[str], rows: Rows) -> str:
    """Returns rows as CSV with a header; text that a spreadsheet would run is defused, None is an empty cell."""
    text = io.StringIO()
    csv_writer(text, columns)(rows)
    return text.getvalue()


def csv_writer(file: TextIO, columns: Sequence[str]) -> Callable[[Rows], None]:
    """Writes the header into a file opened with `newline=""`, and returns what writes rows as `csv_text` has them."""
    # A float is written by its repr, which reads back as the same float. Lines end as in RFC 4180, csv's default:
    # with "\n" alone, csv would leave a carriage return in a name unquoted.
    writer = csv.DictWriter(file, fieldnames=columns)
    writer.writeheader()

    def write(rows: Rows) -> None:
        writer.writerows({column: _csv_cell(cell) for column, cell in row.items()} for row in rows)

    return write


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return defuse_csv(cell)
    return 0.0 if isinstance(cell, float) and cell == 0 else cell


def parquet_bytes(columns: Mapping[str, type], rows: Rows) -> bytes:
    """Returns rows, which may be none at all, as a Parquet file; columns and cells as in `parquet_writer`."""
    file = io.BytesIO()
    with parquet_writer(file, columns) as write:
        write(rows)
    return file.getvalue()


@contextmanager
def parquet_writer(file: Path | BinaryIO, columns: Mapping[str, type]) -> Iterator[Callable[[Rows], None]]:
    """Yields what writes rows into a Parquet file, a part at a call; None is null.

    Args:
        file: Where to.
        columns: Column to `str`, `int`, `float` or `bool`: without a type a column of nulls alone would have none.
    """
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        yield lambda rows: writer.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema))


def markdown_table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table of cells that are escaped already; the first column is aligned left."""
    alignment = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, alignment, *rows))
