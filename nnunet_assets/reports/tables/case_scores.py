"""The scores of every case of a cross-validation summary as rows, CSV and Parquet."""

from nnunet_assets.core.summary.label_summary import METRICS
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_rows import Row, case_rows
from nnunet_assets.reports.text.rows import csv_text, parquet_bytes

COLUMNS = ("fold", "case", "patient", "label", "dice", "iou")


def case_records(summary: ScoredSummary) -> list[Row]:
    """Returns one row a case and label, in the order of folds and cases: `COLUMNS`."""
    return case_rows(summary.folds, summary.patients)


def cases_to_csv(summary: ScoredSummary) -> str:
    """Returns the rows of `case_records` as CSV; an empty score is undefined, an empty patient is not known."""
    return csv_text(COLUMNS, case_records(summary))


def cases_to_parquet(summary: ScoredSummary) -> bytes:
    """Returns the rows of `case_records` as a Parquet file, null where undefined or not known; no name is changed."""
    return parquet_bytes({name: float if name in METRICS else str for name in COLUMNS}, case_records(summary))
