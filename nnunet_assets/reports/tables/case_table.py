"""The table of an evaluation's cases as Parquet and CSV, written a part at a time: only that part is in memory."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import written_whole
from nnunet_assets.core.summary.summary_rows import Cell
from nnunet_assets.errors import EvaluationError, first_offenders
from nnunet_assets.reports.text.rows import Rows, csv_writer, parquet_writer

ROWS_A_PART = 10_000


def write_case_table(rows: Rows, columns: Mapping[str, type], parquet: Path, text: Path) -> int:
    """Writes both files, each whole or not at all, and returns the number of rows.

    Args:
        rows: Every column of each; None is an empty cell.
        columns: Name to `str`, `int` or `float`.
        parquet: Path of the Parquet file.
        text: Path of the CSV file.
    """
    n_rows = 0
    with (
        written_whole(parquet) as parquet_part,
        written_whole(text) as text_part,
        parquet_writer(parquet_part, columns) as write_parquet,
        text_part.open("w", newline="", encoding="utf-8") as file,
    ):
        write_csv = csv_writer(file, list(columns))
        for part in _parts(rows):
            write_parquet(part)
            write_csv(part)
            n_rows += len(part)
    return n_rows


def read_volumes(parquet: Path) -> dict[str, list[tuple[float, float]]]:
    """Returns by label the volumes of reference and prediction in ml, a pair a case; flat images have none."""
    import pyarrow.parquet as pq

    volumes: dict[str, list[tuple[float, float]]] = {}
    for row in pq.read_table(parquet, columns=["label", "reference_ml", "prediction_ml"]).to_pylist():
        if row["reference_ml"] is not None:
            volumes.setdefault(row["label"], []).append((row["reference_ml"], row["prediction_ml"]))
    return volumes


def read_metrics(parquet: Path, metrics: Sequence[str]) -> dict[str, dict[str, list[float | None]]]:
    """Returns by label and metric the value of each case, None where it is undefined, in the order of the cases."""
    import pyarrow.parquet as pq

    found: dict[str, dict[str, list[float | None]]] = {}
    for row in pq.read_table(parquet, columns=["label", *metrics]).to_pylist():
        by_metric = found.setdefault(row["label"], {metric: [] for metric in metrics})
        for metric in metrics:
            by_metric[metric].append(row[metric])
    return found


def read_case_rows(parquet: Path) -> list[dict[str, Any]]:
    """Returns the rows as they were written, each with every column that the table has."""
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(parquet).to_pylist()
    return rows


def read_case_names(parquet: Path) -> list[str]:
    """Returns the names of the cases in their order, each once."""
    import pyarrow.parquet as pq

    return list(dict.fromkeys(row["case"] for row in pq.read_table(parquet, columns=["case"]).to_pylist()))


def read_cases(
    parquet: Path, metrics: Sequence[str], *, if_there: Sequence[str] = ()
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Returns by case and label these metrics, None where one is undefined; no case may be in two folds.

    Args:
        parquet: The table.
        metrics: Columns that it has.
        if_there: Columns that it may lack, as those of older versions do; None in every case then.

    Raises:
        EvaluationError: An older version wrote the table, and did not measure one of the metrics.
    """
    import pyarrow.parquet as pq

    names = set(pq.read_schema(parquet).names)
    if missing := [metric for metric in metrics if metric not in names]:
        raise EvaluationError(
            f"{parquet} has no {first_offenders(missing)}: an older version wrote it. Materialize cv_evaluation again."
        )
    there = [*metrics, *(name for name in if_there if name in names)]
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in pq.read_table(parquet, columns=["case", "label", *there]).to_pylist():
        found.setdefault(row["case"], {})[row["label"]] = {name: row.get(name) for name in (*metrics, *if_there)}
    return found


def _parts(rows: Rows) -> Iterator[list[Mapping[str, Cell]]]:
    iterator = iter(rows)
    while part := list(islice(iterator, ROWS_A_PART)):
        yield part
