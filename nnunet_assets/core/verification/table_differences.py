"""In which cells a table differs from the one that it should be.

Rows are matched by what names them (the cells that are no numbers), so that a table that was sorted says the same, and
columns by their header. A number holds where it is the same number, however a program wrote it again, or where it is
the right one rounded to fewer decimals; one of as many decimals is another number.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, InvalidOperation
from difflib import SequenceMatcher

from nnunet_assets.core.verification.table_rows import Rows

Row = Sequence[str]
_Pair = tuple[tuple[str, ...] | None, tuple[str, ...] | None]

_LETTERS_AROUND = 40

_LEAST_DIGITS, _LEAST_DECIMALS = 2, 3
"""Of a number that was rounded: with one digit nearly any number would pass for another."""


@dataclass(frozen=True)
class CellDifference:
    """A cell, row or column that is not as it should be.

    Attributes:
        where: For people: `organ, dice, mean_pooled`.
        found: What stands there; None: nothing, it was taken out.
        expected: What should; None: nothing, it was put in.
    """

    where: str
    found: str | None
    expected: str | None

    def sentence(self) -> str:
        """Returns what is there and what should be."""
        if self.found is None:
            return f"{self.where} is missing; it should be {_shown(self.expected)}."
        if self.expected is None:
            return f"{self.where} should not be there: it says {_shown(self.found)}."
        return f"{self.where} is {_shown(self.found)}, and should be {_shown(self.expected)}."


def table_differences(found: Rows, expected: Rows) -> list[CellDifference]:
    """Returns where a table with a header differs; empty: it says the same.

    Args:
        found: As it lies there; empty rows left out.
        expected: As it should be, with a header.
    """
    if not found:
        return [CellDifference("the table", None, f"one of {len(expected)} rows")]
    header, *rows = map(list, found)
    wanted, *expected_rows = map(list, expected)
    differences = [CellDifference(f"column {name!r}", None, "a column") for name in wanted if name not in header]
    too_many = Counter(header) - Counter(wanted)
    differences += [CellDifference(f"column {name!r}", "a column", None) for name in too_many.elements()]
    longer = [row for row in rows if any(cell.strip() for cell in row[len(header) :])]
    differences += [CellDifference("a row with more cells than the header", ", ".join(row), None) for row in longer]
    columns = [name for name in wanted if name in header]
    mine = [_picked(row, header, columns) for row in rows]
    theirs = [_picked(row, wanted, columns) for row in expected_rows]
    naming = [index for index in range(len(columns)) if any(_is_text(row[index]) for row in theirs)]
    for number, (left, right) in enumerate(_pairs(mine, theirs, naming), start=1):
        differences += _row_differences(left, right, columns, naming, number)
    return differences


def line_differences(found: Rows, expected: Rows) -> list[CellDifference]:
    """Returns where the lines of a text differ, a cell at a time where a line is a row of as many cells."""
    mine, theirs = [tuple(row) for row in found], [tuple(row) for row in expected]
    differences: list[CellDifference] = []
    for kind, i, j, k, end in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        left, right = mine[i:j], theirs[k:end]
        for number in range(max(len(left), len(right))):
            one = left[number] if number < len(left) else None
            other = right[number] if number < len(right) else None
            differences += _line_difference(one, other, i + number + 1)
    return differences


def text_differences(found: str, expected: str) -> Iterator[CellDifference]:
    """Yields where the lines of a page differ, with what stands around the first letter that does."""
    mine, theirs = found.splitlines(), expected.splitlines()
    for kind, i, j, k, end in SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            left, right = "\n".join(mine[i:j]), "\n".join(theirs[k:end])
            odd = (n for n, (one, other) in enumerate(zip(left, right, strict=False)) if one != other)
            start = max(0, next(odd, min(len(left), len(right))) - _LETTERS_AROUND)
            texts = (text[start : start + 2 * _LETTERS_AROUND] or None for text in (left, right))
            yield CellDifference(f"line {i + 1}", *texts)


def is_same_number(found: str, expected: str) -> bool:
    """Says whether a text is a number, or the number rounded to fewer decimals than it was written with."""
    try:
        one, other = Decimal(found), Decimal(expected)
    except InvalidOperation:
        return False
    if not (one.is_finite() and other.is_finite()):
        return False
    if one == other:
        return True
    decimals, n_expected = (-int(number.as_tuple().exponent) for number in (one, other))
    if decimals >= n_expected:
        # A program that writes more decimals of the same number; as many of another one are another number.
        return decimals > n_expected and float(one) == float(other)
    if len(one.as_tuple().digits) < _LEAST_DIGITS and decimals < _LEAST_DECIMALS:
        return False
    exponent = Decimal(1).scaleb(-decimals)
    rounded = (other.quantize(exponent, rounding) for rounding in (ROUND_HALF_EVEN, ROUND_HALF_UP, ROUND_HALF_DOWN))
    return any(one == candidate for candidate in rounded)


def _picked(row: Row, header: Row, columns: Sequence[str]) -> tuple[str, ...]:
    cells = dict(zip(header, row, strict=False))
    return tuple(cells.get(name, "") for name in columns)


def _pairs(mine: Sequence[tuple[str, ...]], theirs: Sequence[tuple[str, ...]], naming: Sequence[int]) -> "list[_Pair]":
    """Returns each row that should be there with the one that is, in their order where nothing names them."""
    keys, others = ([tuple(row[index] for index in naming) for row in rows] for rows in (mine, theirs))
    if len(mine) == len(theirs) and Counter(keys) != Counter(others):
        return list(zip(mine, theirs, strict=True))  # a name was changed: a row stands where it stood
    left: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for key, row in zip(keys, mine, strict=True):
        left.setdefault(key, []).append(row)
    pairs: list[_Pair] = [
        (left[key].pop(0) if left.get(key) else None, row) for key, row in zip(others, theirs, strict=True)
    ]
    # A row that is there twice is one too many, whatever the other one says.
    return [*pairs, *((row, None) for rows in left.values() for row in rows)]


def _row_differences(
    left: tuple[str, ...] | None,
    right: tuple[str, ...] | None,
    columns: Sequence[str],
    naming: Sequence[int],
    number: int,
) -> list[CellDifference]:
    named = right or left or ()
    name = ", ".join(filter(None, (named[index] for index in naming))) or f"row {number}"
    if left is None or right is None:
        whole = ", ".join(named)
        return [CellDifference(f"the row of {name}", None if left is None else whole, None if right is None else whole)]
    return [
        CellDifference(f"{name}, {column}", cell, wanted)
        for column, cell, wanted in zip(columns, left, right, strict=True)
        if cell.strip() != wanted.strip() and not is_same_number(cell, wanted)
    ]


def _line_difference(left: tuple[str, ...] | None, right: tuple[str, ...] | None, number: int) -> list[CellDifference]:
    if left and right and len(left) == len(right):
        return [
            CellDifference(f"line {number}" + (f", {left[0]}" if len(left) > 1 and place else ""), cell, wanted)
            for place, (cell, wanted) in enumerate(zip(left, right, strict=True))
            if cell != wanted
        ]
    one, other = (None if row is None else " | ".join(row) for row in (left, right))
    return [CellDifference(f"line {number}", one, other)]


def _is_text(cell: str) -> bool:
    try:
        return bool(cell) and not Decimal(cell).is_finite()
    except InvalidOperation:
        return True


def _shown(text: str | None) -> str:
    text = text or "empty"
    return text if len(text) <= 120 else f"{text[:117]}..."
