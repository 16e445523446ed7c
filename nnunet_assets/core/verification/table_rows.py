"""The rows of a table in a file, whatever format it has: cells of text, the first row the header.

A CSV may have been saved again by a spreadsheet: with semicolons or tabs between its cells, decimal commas, other line
ends, a byte order mark, a line that names what stands between the cells, empty rows; or each line as one quoted cell,
where a spreadsheet that expects semicolons opened commas. Of Markdown and LaTeX a row of a table is its cells, and any
other line is a row of one; in LaTeX line breaks and indentation do not count, nor do comments.
"""

import csv
import re
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]

_MOST_BYTES_A_CELL = 1 << 20
_DELIMITERS = ",;\t"
_SEPARATOR_LINE = re.compile(r"\Asep=.\r?\n", re.IGNORECASE)
_TEX_COMMENT = re.compile(r"(?<!\\)%.*")
_TEX_BREAK = re.compile(
    r"(?<=\\\\)\s*"
    r"|(?<=\\toprule)\s+|(?<=\\midrule)\s+|(?<=\\bottomrule)\s+|(?<=\\centering)\s+|(?<=\\hline)\s+"
    r"|\s*(?=\\(?:begin|end|caption|label|centering|toprule|midrule|bottomrule|hline|cmidrule)\b)"
)
"""After the end of a row, and around what is a line of its own."""


def csv_rows(text: str) -> list[list[str]]:
    """Returns the rows of a CSV; of one with decimal commas the numbers have points.

    Raises:
        ValueError: It is no CSV.
    """
    text = _SEPARATOR_LINE.sub("", text.removeprefix("\ufeff"))
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    rows = _rows(text, delimiter)
    if rows and all(len(row) == 1 for row in rows):
        delimiter, rows = ",", _rows("\n".join(row[0] for row in rows), ",")
    return rows if delimiter == "," else [[_with_point(cell) for cell in row] for row in rows]


def text_rows(text: str, ending: str) -> list[list[str]]:
    """Returns the lines of a text that are not empty, those of tables as their cells.

    Args:
        text: Without its seal.
        ending: `md` or `tex`.
    """
    text = text.removeprefix("\ufeff")
    lines = _tex_lines(text) if ending == "tex" else text.splitlines()
    return [_cells(line.strip(), ending) for line in lines if line.strip()]


def _rows(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(_MOST_BYTES_A_CELL)
    try:
        rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
        return [row for row in rows if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from None


def _tex_lines(text: str) -> list[str]:
    """Returns LaTeX with a line a row or command, however it was indented and broken."""
    bare = " ".join(_TEX_COMMENT.sub("", line) for line in text.splitlines())
    return _TEX_BREAK.split(" ".join(bare.split()))


def _cells(line: str, ending: str) -> list[str]:
    if ending == "md" and line.startswith("|") and line.endswith("|"):
        return [cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])]
    if ending == "tex" and line.endswith(r"\\"):
        return [cell.strip() for cell in re.split(r"(?<!\\)&", line[:-2])]
    return [line]


def _with_point(cell: str) -> str:
    return cell.replace(",", ".") if re.fullmatch(r"-?\d+,\d+(e[+-]?\d+)?", cell, re.IGNORECASE) else cell
