"""A cross-validation summary as tables: CSV and Parquet for programs, Markdown for people, LaTeX for papers.

Every table says which estimand a column shows (pooled over cases, or over folds), of how many cases and folds it is
defined, and which folds are missing. Text that users chose is escaped for each format; numbers in CSV and records have
full precision, None or an empty cell is undefined, never 0.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from nnunet_assets.core.cv_summary import METRICS, CvSummary, LabelSummary, MetricSummary
from nnunet_assets.core.estimate import Bootstrap, Estimate
from nnunet_assets.errors import ConfigError
from nnunet_assets.reports.escaping import defuse_csv, escape_latex, escape_markdown

FOREGROUND = "foreground mean"

Cell = str | int | float | None
Row = dict[str, Cell]

CASE_COLUMNS = ("fold", "case", "patient", "label", "dice", "iou")


def to_records(summary: CvSummary) -> list[Row]:
    """Returns one row a label and metric, then the foreground's: label in the order of dataset.json, Dice before IoU.

    Columns: `level` (`label` or `foreground`), `label`, `metric` (`dice` or `iou`); `mean_pooled`, `sd_pooled`,
    `median_pooled`, `q1_pooled`, `q3_pooled`, `ci95_low_pooled`, `ci95_high_pooled` (of the mean), `n_cases`,
    `n_cases_defined`; `mean_over_folds`, `sd_over_folds`, `n_folds`, `n_folds_defined`; `mean_fold_0` and so
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


def to_spread_records(summary: CvSummary) -> list[dict[str, str]]:
    """Returns one row a label, then the foreground's: how its pooled Dice is spread, and how sure its mean is."""
    return [
        {
            "label": name,
            "dice, pooled": _mean(pooled),
            "95 % interval": _interval(pooled),
            "median [quartiles]": _median(pooled),
        }
        for name, label in _named(summary)
        for pooled in [label.dice.pooled]
    ]


def to_csv(summary: CvSummary) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    records = to_records(summary)
    return csv_text(list(records[0]), records)


def cases_to_csv(summary: CvSummary) -> str:
    """Returns the rows of `case_records` as CSV; an empty score is undefined, an empty patient is not known."""
    return csv_text(CASE_COLUMNS, case_records(summary))


def to_parquet(summary: CvSummary) -> bytes:
    """Returns the rows of `to_records` as a Parquet file, null where undefined; no name is changed."""
    records = to_records(summary)
    types = {column: _column_type(column) for column in records[0]}
    return parquet_bytes(types, records)


def _column_type(column: str) -> type:
    if column in ("level", "label", "metric", "missing_folds"):
        return str
    return int if column.startswith("n_") else float


def cases_to_parquet(summary: CvSummary) -> bytes:
    """Returns the rows of `case_records` as a Parquet file, null where undefined or not known; no name is changed."""
    return parquet_bytes({name: float if name in METRICS else str for name in CASE_COLUMNS}, case_records(summary))


def case_records(summary: CvSummary) -> list[Row]:
    """Returns one row a case and label, in the order of folds and cases: `CASE_COLUMNS`."""
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
    spread = [[escape_markdown(cell) for cell in row.values()] for row in to_spread_records(summary)]
    by_fold = [[escape_markdown(name), *_fold_means(summary, label)] for name, label in _named(summary)]
    parts = [
        f"**{escape_markdown(summary.experiment.title)}**: {escape_markdown(summary.progress)}",
        markdown_table(main_header, main),
        "Dice over all cases, how sure its mean is and how it is spread:",
        markdown_table(["Label", "Mean", "95 % interval", "Median [quartiles]"], spread),
        "Mean Dice over the cases of each fold:",
        markdown_table(["Label", *map(escape_markdown, summary.expected_folds)], by_fold),
        "\n".join(f"- {escape_markdown(note)}" for note in notes(summary)),
    ]
    return "\n\n".join(parts) + "\n"


def to_latex(summary: CvSummary, caption: str | None = None, label: str | None = None) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs` and nothing else.

    Numbers stand in plain columns, not in siunitx's `S`: all have three decimals, so that nothing is left to align, `S`
    takes neither `0.871 ± 0.012` as a mean and its SD nor intervals, and siunitx is not in every TeX installation.

    Args:
        caption: Plain text; LaTeX in it is shown, not run. None: the experiment and how many folds are finished.
        label: For `\ref`. None: no label.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    label = checked_latex_label(label)
    text = f"Cross-validation of {summary.experiment.title}, {summary.progress}." if caption is None else caption
    *labels, foreground = (_latex_row(name, *_cells(entry)) for name, entry in _named(summary))
    *spreads, foreground_spread = (_latex_row(*row.values()) for row in to_spread_records(summary))
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
        r"  \begin{tabular}{lccc}",
        r"    \toprule",
        r"    & \multicolumn{3}{c}{Dice, pooled over cases} \\",
        r"    \cmidrule(lr){2-4}",
        r"    Label & Mean & 95\,\% interval & Median [quartiles] \\",
        r"    \midrule",
        *spreads,
        r"    \midrule",
        foreground_spread,
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
        "Foreground mean: the mean of the label means; its SD, quartiles and counts are those of the cases' (pooled) "
        "and of the folds' foreground means (over folds).",
    ]
    if summary.bootstrap:
        sentences.append(interval_note(summary.bootstrap))
    if summary.absent_labels:
        absent = ", ".join(summary.absent_labels)
        sentences.append(f"In no reference and no prediction, so left out of the foreground mean: {absent}.")
    sentences += [
        f"In no case of {fold}, so left out of its foreground mean: {', '.join(names)}."
        for fold, names in summary.absent_labels_by_fold.items()
    ]
    return sentences


def interval_note(drawn: Bootstrap) -> str:
    """Returns how the intervals were made, in one sentence."""
    return (
        f"95 % interval of the pooled mean: bootstrap (BCa) of {drawn.n_clusters} {drawn.clustered_by}s, "
        f"{drawn.n_resamples} resamples; none with fewer than 6 {drawn.clustered_by}s with a defined score."
    )


def _numbers(summary: CvSummary, metric: MetricSummary) -> Row:
    pooled, over_folds = metric.pooled, metric.over_folds
    return {
        "mean_pooled": pooled.mean,
        "sd_pooled": pooled.sd,
        "median_pooled": pooled.median,
        "q1_pooled": pooled.q1,
        "q3_pooled": pooled.q3,
        "ci95_low_pooled": pooled.interval.low if pooled.interval else None,
        "ci95_high_pooled": pooled.interval.high if pooled.interval else None,
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


def parquet_bytes(columns: Mapping[str, type], rows: Sequence[Row]) -> bytes:
    """Returns rows as a Parquet file; None is null.

    Args:
        columns: Column to `str`, `int`, `float` or `bool`: without a type a column of nulls alone would have none.
        rows: None at all gives an empty table.
    """
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=schema), file)
    return file.getvalue()


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


def _interval(estimate: Estimate) -> str:
    interval = estimate.interval
    return f"{interval.low:.3f} to {interval.high:.3f}" if interval else "none"


def _median(estimate: Estimate) -> str:
    if estimate.median is None:
        return "undefined"
    quartiles = "" if estimate.q1 is None else f" [{estimate.q1:.3f}, {estimate.q3:.3f}]"
    return f"{estimate.median:.3f}{quartiles}"


def _fold_means(summary: CvSummary, label: LabelSummary) -> list[str]:
    means = {fold: _mean(estimate) for fold, estimate in label.dice.by_fold.items()}
    return [means.get(fold, "missing") for fold in summary.expected_folds]


def markdown_table(header: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table of cells that are escaped already; the first column is aligned left."""
    alignment = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, alignment, *rows))


def _latex_row(*cells: str) -> str:
    return rf"    {' & '.join(map(escape_latex, cells))} \\"
