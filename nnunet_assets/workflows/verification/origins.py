"""What a published table was made from: by the digest that it carries, else by what it says.

A table without a digest (an older version made it, a spreadsheet took it away) is held against every table of its kind
that the project's results give: the one that says the same is it; else the one that differs in the fewest cells, where
these are few.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nnunet_assets.core.verification.table_differences import CellDifference, line_differences, table_differences
from nnunet_assets.core.verification.table_rows import Rows
from nnunet_assets.workflows.verification.known_results import KnownResult
from nnunet_assets.workflows.verification.opened_files import Kind, OpenedFile, table_rows

LARGEST_SHARE = 0.25
"""Of a table's cells that may differ for it to be taken for an edited one."""


@dataclass(frozen=True)
class Origin:
    """What a table was made from.

    Attributes:
        result: That it is a table of.
        export: The name under which it is written.
        differences: In what it is not as it should be.
        is_named: Whether the file names the result, so that nothing was guessed.
    """

    result: KnownResult
    export: str
    differences: Sequence[CellDifference]
    is_named: bool


def origin_of(opened: OpenedFile, known: Iterable[KnownResult]) -> Origin | None:
    """Returns what a table was made from; None: nothing that is known.

    Args:
        opened: Of a table.
        known: The project's results.
    """
    results = list(known)
    if named := [one for one in results if one.digest in opened.sources]:
        found = list(_compared(opened, named, is_named=True))
        return min(found, key=_rank, default=None)
    best: Origin | None = None
    for one in _compared(opened, results, is_named=False):
        if not one.differences:
            return one
        if best is None or len(one.differences) < len(best.differences):
            best = one
    n_cells = sum(map(len, opened.rows))
    return best if best and len(best.differences) <= LARGEST_SHARE * n_cells else None


def _rank(origin: Origin) -> tuple[int, bool]:
    return len(origin.differences), not origin.result.is_current


def _compared(opened: OpenedFile, results: Sequence[KnownResult], *, is_named: bool) -> Iterator[Origin]:
    wanted = opened.seal.export if opened.seal else None
    for result in results:
        for export, make in result.exports.items():
            if export.rpartition(".")[2] != opened.kind or (wanted in result.exports and export != wanted):
                continue
            differences = differences_of(opened.rows, table_rows(make(), opened.kind), opened.kind)
            yield Origin(result, export, differences, is_named)


def differences_of(found: Rows, expected: Rows, kind: Kind) -> list[CellDifference]:
    """Returns in what two tables of one kind differ."""
    if kind in ("md", "tex"):
        return line_differences(found, expected)
    return table_differences(found, expected) if expected else []
