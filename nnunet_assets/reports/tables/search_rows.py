"""The trials of a search as a table: one row a trial, for people and for programs."""

import json
from typing import Any

from nnunet_assets.core.search.report import SearchReport, row
from nnunet_assets.reports.text.rows import parquet_bytes

BEFORE: dict[str, type] = {"trial": int, "variant": str}
AFTER: dict[str, type] = {
    "state": str,
    "is_counted": bool,
    "begun": str,
    "epochs": int,
    "pseudo_dice": float,
    "dice": float,
    "hours": float,
    "failure": str,
}


def records(report: SearchReport) -> list[dict[str, Any]]:
    """Returns the trials by column, in the order in which they began."""
    return [row(one, report.settings) for one in report.trials]


def to_parquet(report: SearchReport) -> bytes:
    """Returns the table as Parquet; a setting of values that are no numbers, or of several kinds, is of texts."""
    rows = records(report)
    kinds = {name: _kind([one[name] for one in rows]) for name in report.settings}
    texts = [{name: _cell(one[name], kinds.get(name)) for name in one} for one in rows]
    return parquet_bytes({**BEFORE, **kinds, **AFTER}, texts)


def _kind(values: list[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return int if kinds == {int} else float
    return bool if kinds == {bool} else str


def _cell(value: Any, kind: type | None) -> Any:
    return json.dumps(value) if kind is str and value is not None and not isinstance(value, str) else value
