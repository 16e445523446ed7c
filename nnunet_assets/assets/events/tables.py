"""Tables in the web UI: numbers as numbers, and of each column its type, what it is and its unit.

What people read ("0.871 ± 0.012") stays short; a table of the exact numbers stands below it, with the names of the CSV
files for its columns.
"""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from nnunet_assets.reports.text.column_words import column_description

Cell = str | int | float | bool | None

SUBJECTS = ("label", "metric", "experiment", "left", "right", "candidate", "model", "largest component of")
"""The columns that say what a row is of."""

_TYPES = {str: "string", int: "int", float: "float", bool: "bool"}


def shown_table(rows: Iterable[Mapping[str, Cell]]) -> dg.MetadataValue:
    """Returns rows as Dagster shows them; text where there are none, of which Dagster makes no table."""
    found = list(rows)
    if not found:
        return dg.MetadataValue.text("none")
    names = list(dict.fromkeys(name for row in found for name in row))
    types = {name: _type([row[name] for row in found if row.get(name) is not None]) for name in names}
    records = [dg.TableRecord({name: row.get(name) for name in names}) for row in found]
    return dg.MetadataValue.table(records, schema=_schema(types))


def shown_tables(
    name: str, readable: Sequence[Mapping[str, Cell]], exact: Sequence[Mapping[str, Cell]]
) -> dict[str, dg.MetadataValue]:
    """Returns a table as people read it, and under `NAME_exact` the numbers of its rows; nothing where there are none.

    Args:
        name: Of the first table.
        readable: Its rows.
        exact: The numbers of the same rows, in the same order.
    """
    if not readable:
        return {}
    numbers = [
        {**{column: row[column] for column in SUBJECTS if column in row}, **more}
        for row, more in zip(readable, exact, strict=True)
    ]
    return {name: shown_table(readable), f"{name}_exact": shown_table(numbers)}


def file_columns(columns: Mapping[str, type], n_rows: int | None = None) -> dict[str, dg.MetadataValue]:
    """Returns as metadata the columns of the table that an asset wrote, by which Dagster shows and compares them.

    Args:
        columns: Column to `str`, `int`, `float` or `bool`.
        n_rows: Of the table; None: not known.
    """
    shown: dict[str, dg.MetadataValue] = {"dagster/column_schema": dg.MetadataValue.table_schema(_schema(columns))}
    return shown if n_rows is None else {**shown, "dagster/row_count": dg.MetadataValue.int(n_rows)}


def _schema(columns: Mapping[str, type]) -> dg.TableSchema:
    return dg.TableSchema(
        [dg.TableColumn(name, _TYPES[kind], description=column_description(name)) for name, kind in columns.items()]
    )


def _type(cells: Sequence[Cell]) -> type:
    """Returns the one type of a column's cells; whole numbers among others count as such.

    What is undefined in every row would be a number: what people read has a word for it.
    """
    kinds = {type(cell) for cell in cells}
    if kinds == {int, float}:
        return float
    return str if len(kinds) > 1 else next(iter(kinds), float)


def number_metadata(number: int | float) -> dg.MetadataValue:
    """Returns a number as Dagster draws it over time."""
    return dg.MetadataValue.int(number) if isinstance(number, int) else dg.MetadataValue.float(number)
