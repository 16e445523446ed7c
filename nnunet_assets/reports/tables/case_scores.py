"""The scores of every case of a cross-validation summary as rows, CSV and Parquet."""

from nnunet_assets.core.summary.cv_summary import METRICS, CvSummary
from nnunet_assets.reports.text.rows import Row, csv_text, parquet_bytes

COLUMNS = ("fold", "case", "patient", "label", "dice", "iou")


def case_records(summary: CvSummary) -> list[Row]:
    """Returns one row a case and label, in the order of folds and cases: `COLUMNS`."""
    patients = summary.patients or {}
    return [
        {
            "fold": fold.fold,
            "case": case.case_id,
            "patient": patients.get(case.case_id),
            "label": name,
            "dice": score.dice,
            "iou": score.iou,
        }
        for fold in summary.folds
        for case in fold.cases
        for name, score in case.scores.items()
    ]


def cases_to_csv(summary: CvSummary) -> str:
    """Returns the rows of `case_records` as CSV; an empty score is undefined, an empty patient is not known."""
    return csv_text(COLUMNS, case_records(summary))


def cases_to_parquet(summary: CvSummary) -> bytes:
    """Returns the rows of `case_records` as a Parquet file, null where undefined or not known; no name is changed."""
    return parquet_bytes({name: float if name in METRICS else str for name in COLUMNS}, case_records(summary))
