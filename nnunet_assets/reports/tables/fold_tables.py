"""A summary as tables with a row a fold, and mean and SD over the folds below them: CSV for programs, LaTeX for papers.

The pseudo Dice of a fold whose validation was scored stands in none of them: it is no result.
"""

from collections.abc import Iterator, Sequence

from nnunet_assets.core.statistics.estimate import Estimate
from nnunet_assets.core.summary.cross_validation import CVSummary
from nnunet_assets.core.summary.fold_means import MEASURE_NAMES, FoldMeansSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_rows import FOREGROUND, Cell, Row, fold_rows
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.reports.tables import fold_means_tables
from nnunet_assets.reports.text.estimates import mean_and_sd
from nnunet_assets.reports.text.latex import escaped_rows, latex_table, tabular
from nnunet_assets.reports.text.rows import csv_text
from nnunet_assets.reports.text.summary_notes import coverage_notes

ByFold = ScoredSummary | FoldMeansSummary | CVSummary
"""The last one is built by hand."""
NO_SCORES = ("fold", "status", "run_id")
_COLUMNS_A_BLOCK = 4
"""Of numbers, side by side in LaTeX: more do not fit into a line of `article`."""
OVER_FOLDS = "Mean and SD are over the finished folds; SD has n − 1 in its denominator."


def to_records(summary: ByFold) -> list[Row]:
    """Returns one row an expected fold, then `mean` and, of more than one finished fold, `sd`.

    Columns: `fold`, `status`; the foreground's mean and each label's, by score: `dice_mean`, `dice/LABEL`; `val_loss`,
    the last epoch's; `run_id`. Of one that was built by hand: what was given.
    """
    rows = _rows(summary)
    columns = _columns(rows)
    estimates = {column: _over_folds(rows, column) for column in columns}
    below: list[Row] = [{"fold": "mean", **{column: estimate.mean for column, estimate in estimates.items()}}]
    if any(estimate.sd is not None for estimate in estimates.values()):
        below.append({"fold": "sd", **{column: estimate.sd for column, estimate in estimates.items()}})
    return [*rows, *below]


def to_short_records(summary: ByFold) -> list[dict[str, str]]:
    """Returns one row an expected fold as people read it: its foreground's mean, the last loss, its status and run."""
    rows = _rows(summary)
    titles = {column: title for column, title in _titles(rows).items() if "/" not in column}
    return [
        {
            "fold": str(row["fold"]).removeprefix("fold_"),
            "status": str(row.get("status") or ""),
            **{title: _number(row.get(column)) for column, title in titles.items() if not column.startswith("iou")},
            "run": str(row.get("run_id") or "none"),
        }
        for row in rows
    ]


def to_csv(summary: ByFold) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    records = to_records(summary)
    columns = dict.fromkeys(column for row in records for column in row)
    return csv_text(list(columns), records)


def to_latex(summary: ByFold, caption: str | None = None, label: str | None = None) -> str:
    r"""Returns a `table` environment with a row a fold, and one of mean and SD.

    Args:
        summary: What to show.
        caption: Plain text. None: the experiment and how many folds are finished.
        label: For `\ref`. None: no label.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    rows = _rows(summary)
    titles = _titles(rows)
    blocks = [list(titles)[start : start + _COLUMNS_A_BLOCK] for start in range(0, len(titles), _COLUMNS_A_BLOCK)]
    tabulars = []
    for block in blocks:
        header = " & ".join(row[0] for row in escaped_rows([[titles[column]] for column in block]))
        folds = [[str(row["fold"]), *(_number(row.get(column)) for column in block)] for row in rows]
        over = [["Mean ± SD", *(mean_and_sd(_over_folds(rows, column)) for column in block)]]
        tabulars.append(
            tabular("l" + "c" * len(block), [rf"Fold & {header} \\"], escaped_rows(folds), escaped_rows(over))
        )
    text = _caption(summary) if caption is None else caption
    if isinstance(summary, FoldMeansSummary) and summary.is_pseudo:
        text = f"Pseudo Dice, no result: {text}"
    return latex_table(*tabulars, caption=text, label=label, notes=_notes(summary))


def _rows(summary: ByFold) -> list[Row]:
    if isinstance(summary, CVSummary):
        return summary.last_values_by_fold()
    return [
        {column: cell for column, cell in row.items() if column != "pseudo_dice_ema"}
        for row in fold_rows(summary, summary.fold_means())
    ]


def _columns(rows: Sequence[Row]) -> list[str]:
    return [column for column in dict.fromkeys(name for row in rows for name in row) if column not in NO_SCORES]


def _titles(rows: Sequence[Row]) -> dict[str, str]:
    """Returns column to what people read above it."""
    return {column: _title(column) for column in _columns(rows)}


def _title(column: str) -> str:
    for measure, name in MEASURE_NAMES.items():
        if column == f"{measure}_mean":
            return f"{name}, {FOREGROUND}"
        if column.startswith(f"{measure}/"):
            return f"{name}, {column.partition('/')[2]}"
    return {"val_loss": "validation loss", "ema_fg_dice": "EMA pseudo Dice"}.get(column, column.replace("_", " "))


def _over_folds(rows: Sequence[Row], column: str) -> Estimate:
    return Estimate.of([value for row in rows if isinstance(value := row.get(column), int | float)])


def _number(cell: Cell) -> str:
    return fixed(cell) if isinstance(cell, int | float) else "undefined"


def _caption(summary: ByFold) -> str:
    if isinstance(summary, CVSummary):
        return f"Cross-validation results for {summary.cv_group}"
    title = summary.experiment.title if isinstance(summary, ScoredSummary) else summary.title
    return f"{summary.what.capitalize()} of {title}, {summary.progress}."


def _notes(summary: ByFold) -> Iterator[str]:
    if isinstance(summary, ScoredSummary):
        yield from coverage_notes(summary)
    elif isinstance(summary, FoldMeansSummary):
        yield from fold_means_tables.notes(summary)[:2]
    yield OVER_FOLDS
