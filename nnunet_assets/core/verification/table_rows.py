"""The rows of a table in a file, whatever format it has: cells of text, the first row the header.

A CSV may have been saved again by a spreadsheet: with semicolons or tabs between its cells, decimal commas, other line
ends, or a byte order mark. Of Markdown and LaTeX a row of a table is its cells, and any other line is a row of one.
"""

import csv
import re
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]

_MOST_BYTES_A_CELL = 1 << 20
_DELIMITERS = ",;\t"


def csv_rows(text: str) -> list[list[str]]:
    """Returns the rows of a CSV; of one with decimal commas the numbers have points.

    Raises:
        ValueError: It is no CSV.
    """
    text = text.removeprefix("\ufeff")
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    csv.field_size_limit(_MOST_BYTES_A_CELL)
    try:
        rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from None
    return rows if delimiter == "," else [[_with_point(cell) for cell in row] for row in rows]


def text_rows(text: str, ending: str) -> list[list[str]]:
    """Returns the lines of a text that are not empty, those of tables as their cells.

    Args:
        text: Without its seal.
        ending: `md` or `tex`.
    """
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines()]
    return [_cells(line, ending) for line in lines if line]


def _cells(line: str, ending: str) -> list[str]:
    if ending == "md" and line.startswith("|") and line.endswith("|"):
        return [cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])]
    if ending == "tex" and line.endswith(r"\\"):
        return [cell.strip() for cell in re.split(r"(?<!\\)&", line[:-2])]
    return [line]


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if re.fullmatch(r"-?\d+,\d+(e[+-]?\d+)?", cell, re.IGNORECASE) else cell
