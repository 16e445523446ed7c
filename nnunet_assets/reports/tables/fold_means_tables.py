"""A summary of fold means as tables: CSV for programs, LaTeX for papers.

Every row names its measure, and every table of pseudo Dice says so in its caption and its notes.
"""

from nnunet_assets.core.summary.fold_means import MEASURE_NAMES, FoldMeansSummary
from nnunet_assets.core.summary.summary_rows import FOREGROUND, Row, mean_rows
from nnunet_assets.reports.text.estimates import mean_and_sd
from nnunet_assets.reports.text.latex import escaped_rows, latex_table, tabular
from nnunet_assets.reports.text.rows import csv_text


def to_records(summary: FoldMeansSummary) -> list[Row]:
    """Returns one row a measure and label, then the measure's foreground.

    The columns are those of `tables.to_records`, without the pooled ones; `metric` is `dice`, `iou` or `pseudo_dice`.
    """
    return mean_rows(summary.estimates(), summary.fold_means(), summary)


def to_short_records(summary: FoldMeansSummary) -> list[dict[str, str]]:
    """Returns the same rows as people read them: `0.871 ± 0.012`, `5 of 5`; of a hold-out its mean alone."""
    return [
        {
            "label": FOREGROUND if label_name is None else label_name,
            "score": MEASURE_NAMES[measure],
            **(
                {"mean": mean_and_sd(estimate)}
                if summary.is_hold_out
                else {"over folds": mean_and_sd(estimate), "folds": f"{estimate.n_defined} of {estimate.n}"}
            ),
        }
        for measure, label_name, estimate in summary.estimates()
    ]


def to_csv(summary: FoldMeansSummary) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    records = to_records(summary)
    return csv_text(list(records[0]), records)


def to_latex(summary: FoldMeansSummary, caption: str | None = None, label: str | None = None) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs`, and siunitx if it likes; see `latex`.

    Args:
        summary: What to show.
        caption: Plain text. None: the experiment and how many folds are finished.
        label: For `\ref`. None: no label.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    kind = "Hold-out validation" if summary.is_hold_out else "Cross-validation"
    text = f"{kind} of {summary.title}, {summary.progress}." if caption is None else caption
    if summary.is_pseudo:
        text = f"Pseudo Dice, no result: {text}"
    rows = escaped_rows(row.values() for row in to_short_records(summary))
    columns, header = ("llc", "Mean") if summary.is_hold_out else ("llcr", "Over folds & Folds")
    table = tabular(columns, [rf"Label & Score & {header} \\"], rows)
    return latex_table(table, caption=text, label=label, notes=notes(summary))


def notes(summary: FoldMeansSummary) -> list[str]:
    """Returns what a reader of a table must know."""
    return [
        f"{summary.progress}.",
        summary.reason,
        "Mean: over the validation cases."
        if summary.is_hold_out
        else "Over folds: mean ± SD of the fold means; SD has n − 1 in its denominator.",
    ]
