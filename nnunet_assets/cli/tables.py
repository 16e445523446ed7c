"""Tables on a terminal of any width: a name keeps what tells it from the others, and nothing else is cut.

Where the columns do not fit beside each other, heads take more lines; where that does not help, the table goes on
below itself, and the names stand there again.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.text.distinct_names import SHORTEST, told_apart

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_FRAME = 3
"""What a column takes beside its cells: a space on each side, and a line."""
_ROOM = 26
"""Columns that names leave to what is said of them, however long they are."""
_TELLING = 24
"""Characters of a name that say enough of it, so that it is rather cut to them than the table in two."""
_NUMBER = re.compile(r"[-+−<]? ?\d[\d.e]*%?( (±|to|of) \S+)*( \[.*\])?")

Rows = Sequence[Mapping[str, str]]


def print_table(terminal: "Console", rows: Rows, names: Sequence[str], title: str = "") -> None:
    """Prints rows of cells; nothing of no rows.

    Args:
        terminal: Where to.
        rows: By column, the same in each.
        names: The columns that say what a row is of, which may be long; they stand first.
        title: A line above.
    """
    if not rows:
        return
    widths = {column: _width(rows, column) for column in rows[0]}
    if not _fits(terminal, widths.values()):
        widths = {column: _width(rows, column, is_head_folded=column not in names) for column in rows[0]}
        rows = _with_names_that_fit(terminal, rows, names, [width for k, width in widths.items() if k not in names])
        widths |= {name: _width(rows, name) for name in names}
    if title:
        terminal.print(title)
    for columns in _blocks(terminal, widths, names):
        table = _table(terminal, rows, {column: widths[column] for column in columns}, names)
        terminal.print(table, soft_wrap=False)


def with_letters(terminal: "Console", rows: Rows, pair: tuple[str, str]) -> tuple[list[dict[str, str]], dict[str, str]]:
    """Returns rows about pairs of names with the pair in one column, and the letters that stand for long names.

    Args:
        terminal: Where they are to be printed.
        rows: By column, the same in each.
        pair: The columns of the two names, `left` and `right`.

    Returns:
        The rows, and letter to name; none where the names fit.
    """
    left, right = pair
    names = dict.fromkeys(row[column] for row in rows for column in pair)
    letters = {name: _letter(number) for number, name in enumerate(names)}

    def merged(shown: Mapping[str, str]) -> list[dict[str, str]]:
        head = f"{left} − {right}"
        return [
            {head: f"{shown[row[left]]} − {shown[row[right]]}", **{k: text for k, text in row.items() if k not in pair}}
            for row in rows
        ]

    whole = merged({name: name for name in names})
    if not whole or _fits(terminal, [_width(whole, column) for column in whole[0]]):
        return whole, {}
    return merged(letters), {letter: name for name, letter in letters.items()}


def _letter(number: int) -> str:
    """Returns A to Z, then AA and so on."""
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("A") + last)


def _with_names_that_fit(terminal: "Console", rows: Rows, names: Sequence[str], others: Sequence[int]) -> Rows:
    """Returns the rows with names so short that the table fits; where they would say too little, so that it may go on.

    Args:
        others: The widths of the other columns.
    """
    room, with_all = (
        (terminal.width - 1 - said) // len(names) - _FRAME for said in (_ROOM, sum(width + _FRAME for width in others))
    )
    room = with_all if with_all >= _TELLING else room
    texts = list(dict.fromkeys(row[name] for row in rows for name in names))
    short = dict(zip(texts, told_apart(texts, max(room, SHORTEST)), strict=True))
    if not terminal.encoding.startswith("utf"):
        short = {text: cut.replace("…", "~") for text, cut in short.items()}
    return [{column: short[cell] if column in names else cell for column, cell in row.items()} for row in rows]


def _fits(terminal: "Console", widths: Iterable[int]) -> bool:
    return sum(width + _FRAME for width in widths) < terminal.width


def _blocks(terminal: "Console", widths: Mapping[str, int], names: Sequence[str]) -> Iterator[list[str]]:
    """Yields the columns of one table after the other, each as wide as the terminal has room for."""
    room = terminal.width - 1 - sum(widths[name] + _FRAME for name in names)
    block: list[str] = []
    left = room
    for column in widths:
        if column in names:
            continue
        wanted = widths[column] + _FRAME
        if block and wanted > left:
            yield [*names, *block]
            block, left = [], room
        block.append(column)
        left -= wanted
    yield [*names, *block]


def _table(terminal: "Console", rows: Rows, widths: Mapping[str, int], names: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table()
    taken = sum(widths[name] + _FRAME for name in names)
    for column, width in widths.items():
        is_number = column not in names and all(_NUMBER.fullmatch(row[column]) for row in rows if row[column])
        room = terminal.width - 1 - _FRAME - (0 if column in names else taken)
        table.add_column(
            column[:1].upper() + column[1:],
            justify="right" if is_number else "left",
            overflow="fold",
            width=max(1, min(width, room)),
        )
    for row in rows:
        table.add_row(*(row[column] for column in widths))
    return table


def _width(rows: Rows, column: str, *, is_head_folded: bool = False) -> int:
    from rich.cells import cell_len

    head = column.split() if is_head_folded else [column]
    lines = [*head, *(line for row in rows for line in row[column].splitlines())]
    return max(map(cell_len, lines), default=1)
