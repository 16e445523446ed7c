"""A cross-validation summary as tables: CSV for programs, Markdown for people, LaTeX for papers.

Every table says which estimand a column shows (pooled over cases, or over folds), of how many cases and folds it is
defined, and which folds are missing. Text that users chose is escaped for each format; numbers in CSV and records have
full precision, None or an empty cell is undefined, never 0.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence

from nnunet_assets.core.cv_summary import METRICS, CvSummary, Estimate, LabelSummary, MetricSummary
from nnunet_assets.errors import ConfigError
from nnunet_assets.reports.escaping import defuse_csv, escape_latex, escape_markdown

FOREGROUND = "foreground mean"

Cell = str | int | float | None
Row = dict[str, Cell]


def to_records(summary: CvSummary) -> list[Row]:
    """Returns one row a label and metric, then the foreground's: label in the order of dataset.json, Dice before IoU.

    Columns: `level` (`label` or `foreground`), `label`, `metric` (`dice` or `iou`); `mean_pooled`, `sd_pooled`,
    `n_cases`, `n_cases_defined`; `mean_over_folds`, `sd_over_folds`, `n_folds`, `n_folds_defined`; `mean_fold_0` and so
    on for each expected fold; `missing_folds`, separated by spaces. None is undefined or, for a fold, missing.
    """
    rows = [("label", name, label) for name, label in summary.labels.items()]
    rows.append(("foreground", FOREGROUND, summary.foreground))
    return [
        {"level": level, "label": name, "metric": metric, **_numbers(summary, getattr(label, metric))}
        for level, name, label in rows
        for metric in METRICS
    ]


def to_short_records(summary: CvSummary) -> list[dict[str, str]]:
    """Returns one row a label, then the foreground's, with its Dice as people read it: `0.871 ± 0.012`, `19 of 20`."""
    return [
        {
            "label": name,
            "dice, pooled": mean_and_sd(dice.pooled),
            "cases": f"{dice.pooled.n_defined} of {dice.pooled.n}",
            "dice, over folds": mean_and_sd(dice.over_folds),
            "folds": f"{dice.over_folds.n_defined} of {dice.over_folds.n}",
        }
        for name, label in _named(summary)
        for dice in [label.dice]
    ]


def to_csv(summary: CvSummary) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    records = to_records(summary)
    return csv_text(list(records[0]), records)


def cases_to_csv(summary: CvSummary) -> str:
    """Returns one CSV row a case and label: `fold`, `case`, `label`, `dice`, `iou`; an empty score is undefined."""
    rows: list[Row] = [
        {"fold": fold.fold, "case": case.case_id, "label": name, "dice": score.dice, "iou": score.iou}
        for fold in summary.folds
        for case in fold.cases
        for name, score in case.scores.items()
    ]
    return csv_text(["fold", "case", "label", "dice", "iou"], rows)


def to_markdown(summary: CvSummary) -> str:
    """Returns the summary, the fold means of Dice and the notes as Markdown; scores have three decimals."""
    main_header = [
        "Label",
        "Dice, pooled",
        "IoU, pooled",
        "Cases",
        "Dice, over folds",
        "IoU, over folds",
        "Folds",
    ]
    main = [[escape_markdown(name), *_cells(label)] for name, label in _named(summary)]
    by_fold = [[escape_markdown(name), *_fold_means(summary, label)] for name, label in _named(summary)]
    parts = [
        f"**{escape_markdown(summary.experiment.title)}**: {escape_markdown(summary.progress)}",
        _markdown_table(main_header, main),
        "Mean Dice over the cases of each fold:",
        _markdown_table(["Label", *map(escape_markdown, summary.expected_folds)], by_fold),
        "\n".join(f"- {escape_markdown(note)}" for note in notes(summary)),
    ]
    return "\n\n".join(parts) + "\n"


def to_latex(summary: CvSummary, caption: str | None = None, label: str | None = None) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs` and nothing else.

    Args:
        caption: Plain text; LaTeX in it is shown, not run. None: the experiment and how many folds are finished.
        label: For `\ref`. None: no label.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    label = checked_latex_label(label)
    text = f"Cross-validation of {summary.experiment.title}, {summary.progress}." if caption is None else caption
    *labels, foreground = (_latex_row(name, entry) for name, entry in _named(summary))
    lines = [
        r"\begin{table}[htbp]",
        r"  \centering",
        rf"  \caption{{{escape_latex(text)}}}",
        *([rf"  \label{{{label}}}"] if label else []),
        r"  \begin{tabular}{lccrccr}",
        r"    \toprule",
        r"    & \multicolumn{3}{c}{Pooled over cases} & \multicolumn{3}{c}{Over folds} \\",
        r"    \cmidrule(lr){2-4} \cmidrule(lr){5-7}",
        r"    Label & Dice & IoU & Cases & Dice & IoU & Folds \\",
        r"    \midrule",
        *labels,
        r"    \midrule",
        foreground,
        r"    \bottomrule",
        r"  \end{tabular}",
        "",
        r"  \medskip",
        r"  \begin{minipage}{\linewidth}",
        r"    \footnotesize",
        *(f"    {escape_latex(note)}" for note in notes(summary)),
        r"  \end{minipage}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def checked_latex_label(label: str | None) -> str | None:
    """Returns the label.

    Raises:
        ConfigError: It holds a character that LaTeX does not take in one.
    """
    if label is not None and not re.fullmatch(r"[A-Za-z0-9:._/+-]+", label):
        raise ConfigError(
            f"{label!r} cannot be a LaTeX label. Use letters, digits and : . _ / + - only, such as tab:hippocampus."
        )
    return label


def notes(summary: CvSummary) -> list[str]:
    """Returns what a reader of a table must know: folds, estimands, undefined scores, labels left out."""
    sentences = [
        f"{summary.progress}, {summary.n_cases} cases.",
        "Pooled: mean ± SD over all validation cases of the finished folds.",
        "Over folds: mean ± SD of the fold means.",
        "SD has n − 1 in its denominator and is left out where fewer than two values are defined.",
        "Cases, Folds: in how many of all the score is defined. It is undefined where reference and prediction are "
        "both empty, and 0 where one of them is.",
        "Foreground mean: the mean of the label means; its SD and counts are those of the cases' (pooled) and of the "
        "folds' foreground means (over folds).",
    ]
    if summary.absent_labels:
        absent = ", ".join(summary.absent_labels)
        sentences.append(f"In no reference and no prediction, so left out of the foreground mean: {absent}.")
    sentences += [
        f"In no case of {fold}, so left out of its foreground mean: {', '.join(names)}."
        for fold, names in summary.absent_labels_by_fold.items()
    ]
    return sentences


def _numbers(summary: CvSummary, metric: MetricSummary) -> Row:
    pooled, over_folds = metric.pooled, metric.over_folds
    return {
        "mean_pooled": pooled.mean,
        "sd_pooled": pooled.sd,
        "n_cases": pooled.n,
        "n_cases_defined": pooled.n_defined,
        "mean_over_folds": over_folds.mean,
        "sd_over_folds": over_folds.sd,
        "n_folds": over_folds.n,
        "n_folds_defined": over_folds.n_defined,
        **{
            f"mean_{fold}": metric.by_fold[fold].mean if fold in metric.by_fold else None
            for fold in summary.expected_folds
        },
        "missing_folds": " ".join(summary.missing_folds),
    }


def csv_text(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Returns rows as CSV with a header; text that a spreadsheet would run is defused, None is an empty cell."""
    text = io.StringIO()
    # A float is written by its repr, which reads back as the same float. Lines end as in RFC 4180, csv's default:
    # with "\n" alone, csv would leave a carriage return in a name unquoted.
    writer = csv.DictWriter(text, fieldnames=columns)
    writer.writeheader()
    writer.writerows(
        {column: defuse_csv(cell) if isinstance(cell, str) else cell for column, cell in row.items()} for row in rows
    )
    return text.getvalue()


def _named(summary: CvSummary) -> Iterable[tuple[str, LabelSummary]]:
    return [*summary.labels.items(), (FOREGROUND.capitalize(), summary.foreground)]


def _cells(label: LabelSummary) -> list[str]:
    return [
        text
        for name in ("pooled", "over_folds")
        for dice, iou in [(getattr(label.dice, name), getattr(label.iou, name))]
        # Dice and IoU are defined in the same cases, so one count serves both.
        for text in (mean_and_sd(dice), mean_and_sd(iou), f"{dice.n_defined} of {dice.n}")
    ]


def mean_and_sd(estimate: Estimate) -> str:
    """Returns an estimate as people read it: `0.871 ± 0.012`, or `undefined`."""
    spread = "" if estimate.sd is None else f" ± {estimate.sd:.3f}"
    return f"{_mean(estimate)}{spread}"


def _mean(estimate: Estimate) -> str:
    return "undefined" if estimate.mean is None else f"{estimate.mean:.3f}"


def _fold_means(summary: CvSummary, label: LabelSummary) -> list[str]:
    means = {fold: _mean(estimate) for fold, estimate in label.dice.by_fold.items()}
    return [means.get(fold, "missing") for fold in summary.expected_folds]


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    alignment = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, alignment, *rows))


def _latex_row(name: str, label: LabelSummary) -> str:
    cells = [escape_latex(cell) for cell in (name, *_cells(label))]
    return rf"    {' & '.join(cells)} \\"
