"""A cross-validation summary as tables: CSV and Parquet for programs, Markdown for people, LaTeX for papers.

Every table says which estimand a column shows (pooled over cases, or over folds), of how many cases and folds it is
defined, and which folds are missing. Text that users chose is escaped for each format; numbers in CSV and records have
full precision, None or an empty cell is undefined, never 0.
"""

from collections.abc import Iterable

from nnunet_assets.core.summary.label_summary import LabelSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_rows import FOREGROUND, Row, label_rows
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.estimates import interval_text, mean_and_sd, mean_text, median_and_quartiles
from nnunet_assets.reports.text.latex import escaped_rows, latex_table, tabular
from nnunet_assets.reports.text.rows import csv_text, markdown_table, parquet_bytes
from nnunet_assets.reports.text.summary_notes import notes

OVER_FOLDS = "Over folds"


def to_records(summary: ScoredSummary) -> list[Row]:
    """Returns the rows of `label_rows`."""
    return label_rows(summary.labels, summary.foreground, summary)


def dice_numbers(summary: ScoredSummary) -> list[Row]:
    """Returns the numbers of `to_records` of Dice alone, a row for each of `to_short_records`."""
    return [
        {name: cell for name, cell in row.items() if name not in ("level", "label", "metric", "missing_folds")}
        for row in to_records(summary)
        if row["metric"] == "dice"
    ]


def columns_of(summary: ScoredSummary) -> dict[str, type]:
    """Returns the columns of `to_records` with their types."""
    return {column: _column_type(column) for column in to_records(summary)[0]}


def to_short_records(summary: ScoredSummary) -> list[dict[str, str]]:
    """Returns one row a label, then the foreground's, with its Dice as people read it: `0.871 ± 0.012`, `19 of 20`."""
    return [
        {
            "label": name,
            "Dice, pooled": mean_and_sd(dice.pooled),
            "cases": f"{dice.pooled.n_defined} of {dice.pooled.n}",
            **(
                {}
                if summary.is_hold_out
                else {
                    "Dice, over folds": mean_and_sd(dice.over_folds),
                    "folds": f"{dice.over_folds.n_defined} of {dice.over_folds.n}",
                }
            ),
        }
        for name, label in _named(summary)
        for dice in [label.dice]
    ]


def to_spread_records(summary: ScoredSummary) -> list[dict[str, str]]:
    """Returns one row a label, then the foreground's: how its pooled Dice is spread, and how sure its mean is."""
    return [
        {
            "label": name,
            "Dice, pooled": mean_text(pooled),
            "95 % interval": interval_text(pooled),
            "median [quartiles]": median_and_quartiles(pooled),
        }
        for name, label in _named(summary)
        for pooled in [label.dice.pooled]
    ]


def to_csv(summary: ScoredSummary) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    records = to_records(summary)
    return csv_text(list(records[0]), records)


def to_parquet(summary: ScoredSummary) -> bytes:
    """Returns the rows of `to_records` as a Parquet file, null where undefined; no name is changed."""
    return parquet_bytes(columns_of(summary), to_records(summary))


def _column_type(column: str) -> type:
    if column in ("level", "label", "metric", "missing_folds"):
        return str
    return int if column.startswith("n_") else float


def to_markdown(summary: ScoredSummary) -> str:
    """Returns the summary, the fold means of Dice and the notes as Markdown; scores have three decimals."""
    main_header = ["Label", "Dice, pooled", "IoU, pooled", "Cases"]
    if not summary.is_hold_out:
        main_header += ["Dice, over folds", "IoU, over folds", "Folds"]
    n_columns = len(main_header) - 1
    main = [[escape_markdown(name), *_cells(label)[:n_columns]] for name, label in _named(summary)]
    spread = [[escape_markdown(cell) for cell in row.values()] for row in to_spread_records(summary)]
    by_fold = [[escape_markdown(name), *_fold_means(summary, label)] for name, label in _named(summary)]
    parts = [
        f"**{escape_markdown(summary.experiment.title)}**: {escape_markdown(summary.progress)}",
        markdown_table(main_header, main),
        "Dice over all cases, how sure its mean is and how it is spread:",
        markdown_table(["Label", "Mean", "95 % interval", "Median [quartiles]"], spread),
        *(
            []
            if summary.is_hold_out
            else [
                "Mean Dice over the cases of each fold:",
                markdown_table(["Label", *map(escape_markdown, summary.expected_folds)], by_fold),
            ]
        ),
        "\n".join(f"- {escape_markdown(note)}" for note in notes(summary)),
    ]
    return "\n\n".join(parts) + "\n"


def to_latex(summary: ScoredSummary, caption: str | None = None, label: str | None = None) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs`, and siunitx if it likes; see `latex`.

    Args:
        caption: Plain text; LaTeX in it is shown, not run. None: the experiment and how many folds are finished.
        label: For `\ref`. None: no label.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    text = _caption(summary) if caption is None else caption
    cells = [(name, _cells(entry)) for name, entry in _named(summary)]
    # Beside each other they are wider than a line of `article`.
    tabulars = (
        ("Pooled over cases", "Dice & IoU & Cases", "lccr", [[name, *row[:3]] for name, row in cells]),
        (OVER_FOLDS, "Dice & IoU & Folds", "lccr", [[name, *row[3:]] for name, row in cells]),
        (
            "Dice, pooled over cases",
            r"Mean & 95\,\% interval & Median [quartiles]",
            "lccc",
            [[*row.values()] for row in to_spread_records(summary)],
        ),
    )
    return latex_table(
        *(
            tabular(
                columns,
                (rf"& \multicolumn{{3}}{{c}}{{{title}}} \\", r"\cmidrule(lr){2-4}", rf"Label & {header} \\"),
                escaped_rows(rows[:-1]),
                escaped_rows(rows[-1:]),
            )
            for title, header, columns, rows in tabulars
            if not (summary.is_hold_out and title == OVER_FOLDS)
        ),
        caption=text,
        label=label,
        notes=notes(summary),
    )


def _caption(summary: ScoredSummary) -> str:
    if summary.is_hold_out:
        return f"Hold-out validation of {summary.experiment.title}, {summary.expected_folds[0]}."
    return f"Cross-validation of {summary.experiment.title}, {summary.progress}."


def _named(summary: ScoredSummary) -> Iterable[tuple[str, LabelSummary]]:
    return [*summary.labels.items(), (FOREGROUND.capitalize(), summary.foreground)]


def _cells(label: LabelSummary) -> list[str]:
    return [
        text
        for name in ("pooled", "over_folds")
        for dice, iou in [(getattr(label.dice, name), getattr(label.iou, name))]
        # Dice and IoU are defined in the same cases, so one count serves both.
        for text in (mean_and_sd(dice), mean_and_sd(iou), f"{dice.n_defined} of {dice.n}")
    ]


def _fold_means(summary: ScoredSummary, label: LabelSummary) -> list[str]:
    means = {fold: mean_text(estimate) for fold, estimate in label.dice.by_fold.items()}
    return [means.get(fold, "missing") for fold in summary.expected_folds]
