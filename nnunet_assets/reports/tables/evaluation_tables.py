"""What an evaluation's labels come to, as tables: CSV for programs, Markdown for people, LaTeX for papers.

They are made of what `Evaluation.to_json` returned or `evaluation.json` holds; one of an older version has no quartiles
and intervals. An empty cell of the CSV is undefined, never 0; text that users chose is escaped.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from nnunet_assets.core.evaluation.evaluation import FIRST_METRICS, SHOWN_METRICS, counted_title, measured_title
from nnunet_assets.core.evaluation.evaluation_files import LABELS_CSV, LABELS_LATEX, LABELS_MARKDOWN
from nnunet_assets.core.evaluation.label_totals import counted_estimate, label_estimate
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.statistics.estimate import Bootstrap, Estimate
from nnunet_assets.core.statistics.scoring import COUNTED, WHERE_BOTH, is_undefined_by_failure
from nnunet_assets.core.summary.summary_rows import Row
from nnunet_assets.core.text.numbers import fixed, measured
from nnunet_assets.core.verification.seal_carriers import sealed
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.estimates import interval_text, mean_and_sd, median_and_quartiles
from nnunet_assets.reports.text.interval_notes import interval_notes
from nnunet_assets.reports.text.latex import escaped_rows, latex_table, tabular
from nnunet_assets.reports.text.rows import csv_text, markdown_table

COLUMNS = (
    *("label", "metric", "mean", "sd", "median", "q1", "q3", "ci95_low", "ci95_high"),
    *("n_cases", "n_cases_defined", "mean_missed_counted", "n_cases_missed_counted"),
)
"""Of the CSV; the interval is that of the mean. The last two are empty where a missed object is defined anyway."""

SEALED_AS = "evaluation"
"""In seals: predictions that are evaluated need not be of an experiment."""

Evaluated = Mapping[str, Any]
"""What `Evaluation.to_json` returned."""


def write_label_tables(content: Evaluated, folder: Path) -> None:
    """Writes `labels.csv`, `labels.md` and `labels.tex`; removes them where the folds must not be taken together."""
    sealing = Sealing.of_content(SEALED_AS, content)
    tables = {LABELS_CSV: to_csv, LABELS_MARKDOWN: to_markdown, LABELS_LATEX: to_latex}
    for name, text_of in tables.items():
        if content["labels"] is None:
            (folder / name).unlink(missing_ok=True)
        else:
            write_atomically(folder / name, sealed(text_of(content).encode(), name, sealing))


def short_records(content: Evaluated) -> list[dict[str, str]]:
    """Returns one row a label with what people look at first; empty where the folds must not be taken together.

    `cases` says in how many Dice is defined; a metric that is defined in fewer or more says so itself.
    """
    labels = _labels(content)
    has_lesions = any("lesions" in totals for totals in labels.values())
    has_failures = any(map(_has_failures, labels.values()))
    return [
        {
            "label": name,
            **{
                title: mean_and_sd(found, metric) + _of_others(found, n_dice)
                for metric, title, found in _columns(totals, has_failures=has_failures)
            },
            **(_lesion_texts(totals.get("lesions")) if has_lesions else {}),
            "cases": f"{n_dice} of {totals['n_cases']}",
        }
        for name, totals in labels.items()
        for n_dice in [label_estimate(totals, "dice").n_defined]
    ]


def interval_records(content: Evaluated) -> list[dict[str, str]]:
    """Returns one row a label with the intervals of the means of `FIRST_METRICS`; empty where there is none at all."""
    estimates = {
        name: {metric: label_estimate(totals, metric) for metric in FIRST_METRICS}
        for name, totals in _labels(content).items()
    }
    if not any(found.interval for row in estimates.values() for found in row.values()):
        return []
    return [
        {"label": name, **{measured_title(metric): interval_text(found, metric) for metric, found in row.items()}}
        for name, row in estimates.items()
    ]


def label_numbers(content: Evaluated) -> list[Row]:
    """Returns the numbers of each row of `short_records` with full precision, `METRIC_mean` and the like."""
    return [
        {
            "n_cases": totals["n_cases"],
            **{
                f"{metric}_{name}": number
                for metric in FIRST_METRICS
                for found in [label_estimate(totals, metric)]
                for name, number in (("mean", found.mean), ("sd", found.sd), ("n_defined", found.n_defined))
            },
        }
        for totals in _labels(content).values()
    ]


def interval_numbers(content: Evaluated) -> list[Row]:
    """Returns the ends of the intervals of each row of `interval_records` with full precision."""
    return [
        {
            f"{metric}_{name}": number
            for metric in FIRST_METRICS
            for interval in [label_estimate(totals, metric).interval]
            for name, number in (
                ("ci95_low", interval.low if interval else None),
                ("ci95_high", interval.high if interval else None),
            )
        }
        for totals in _labels(content).values()
    ]


def notes(content: Evaluated) -> list[str]:
    """Returns what a reader of the tables must know: over which cases, at which tolerances, how sure."""
    labels = _labels(content)
    if not labels:
        return []
    sentences = [
        "Mean ± SD over the cases in which the metric is defined; SD has n − 1 in its denominator.",
        f"NSD at a tolerance of {_tolerances(content)}.",
        "HD95, ASSD and NSD are those between the centres of surface voxels, each counted the same (as in MONAI and "
        "MetricsReloaded); those called surface are between surface elements by their area (as in surface-distance).",
    ]
    if failing := [totals for totals in labels.values() if _has_failures(totals)]:
        diagonal_mm = measured(failing[0]["missed_counted"]["diagonal_mm"])
        sentences.append(
            f"HD95 and ASSD, {WHERE_BOTH}: over the cases in which reference and prediction hold the label. "
            f"{COUNTED.capitalize()}: one that is in the reference or in the prediction alone counts {diagonal_mm} mm, "
            "the diagonal of the largest image; of a label without such cases both means are the same. The means that "
            "count them have no interval."
        )
    if content.get("bootstrap"):
        sentences += interval_notes(Bootstrap(**content["bootstrap"]))
    return sentences


def to_csv(content: Evaluated) -> str:
    """Returns one row a label and metric that is defined in any of its cases, or counts a missed one, by `COLUMNS`."""
    rows: list[Row] = [
        {
            "label": name,
            "metric": metric,
            "mean": found.mean,
            "sd": found.sd,
            "median": found.median,
            "q1": found.q1,
            "q3": found.q3,
            "ci95_low": found.interval.low if found.interval else None,
            "ci95_high": found.interval.high if found.interval else None,
            "n_cases": found.n,
            "n_cases_defined": found.n_defined,
            "mean_missed_counted": with_missed.mean if with_missed else None,
            "n_cases_missed_counted": with_missed.n_defined if with_missed else None,
        }
        for name, totals in _labels(content).items()
        for metric, found, with_missed in _all_estimates(totals)
    ]
    return csv_text(COLUMNS, rows)


def to_markdown(content: Evaluated) -> str:
    """Returns one row a label and metric of `SHOWN_METRICS`, and the notes, as Markdown."""
    header = ["Label", "Metric", "Mean ± SD", "95 % interval", "Median [quartiles]", "Cases"]
    rows = [
        [escape_markdown(cell) for cell in (name, shown, mean, interval, median, cases)]
        for name, shown, mean, interval, median, cases in _rows(content)
    ]
    parts = [
        f"**{escape_markdown(content['subject'])}**: {escape_markdown(_progress(content))}",
        markdown_table(header, rows),
        "\n".join(f"- {escape_markdown(note)}" for note in notes(content)),
    ]
    return "\n\n".join(parts) + "\n"


def to_latex(content: Evaluated) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs`, and siunitx if it likes; see `latex`.

    One row a label and metric of `SHOWN_METRICS`; medians are in the CSV, a line of `article` has no room for them.
    """
    groups = [
        escaped_rows(
            ("" if number else name, shown, mean, interval, cases)
            for number, (_, shown, mean, interval, _, cases) in enumerate(rows)
        )
        for name, rows in groupby(_rows(content), key=itemgetter(0))
    ]
    header = r"Label & Metric & Mean $\pm$ SD & 95\,\% interval & Cases \\"
    caption = f"{content['subject']}: {_progress(content)}"
    # Names of metrics are broken into lines: the longest is wider than what the other columns leave of a line.
    rows = tabular(r"lp{0.24\linewidth}ccr", [header], *groups)
    return latex_table(rows, caption=caption, label=None, notes=notes(content), is_small=True)


def _rows(content: Evaluated) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yields label, metric, mean ± SD, interval, median and cases, as people read them."""
    for name, totals in _labels(content).items():
        for metric, title, found in _columns(totals, SHOWN_METRICS, has_failures=_has_failures(totals)):
            cases = f"{found.n_defined} of {found.n}"
            texts = mean_and_sd(found, metric), interval_text(found, metric), median_and_quartiles(found, metric)
            yield name, title, *texts, cases


def _columns(
    totals: Mapping[str, Any], metrics: Iterable[str] = FIRST_METRICS, *, has_failures: bool
) -> Iterator[tuple[str, str, Estimate]]:
    """Yields metrics, each with its title and what it comes to; where missed ones count, that follows.

    Args:
        totals: Of a label.
        metrics: Which.
        has_failures: Whether what missed ones count is shown.
    """
    for metric in metrics:
        yield metric, measured_title(metric), label_estimate(totals, metric)
        if has_failures and is_undefined_by_failure(metric):
            nothing = Estimate(mean=None, sd=None, n=totals["n_cases"], n_defined=0)
            yield metric, counted_title(metric), counted_estimate(totals, metric) or nothing


def _has_failures(totals: Mapping[str, Any]) -> bool:
    with_missed = counted_estimate(totals, "hd95_mm")
    return with_missed is not None and with_missed.n_defined != label_estimate(totals, "hd95_mm").n_defined


def _of_others(found: Estimate, n_dice: int) -> str:
    """Returns in how many cases a metric is defined where that is not said by the number of those with a Dice."""
    return f" (n = {found.n_defined})" if found.n_defined not in (0, n_dice) else ""


def _all_estimates(totals: Mapping[str, Any]) -> Iterator[tuple[str, Estimate, Estimate | None]]:
    """Yields every metric with its estimate, and with that in which missed ones count, where they do."""
    counted = totals.get("missed_counted", {"metrics": {}})["metrics"]
    for metric in dict.fromkeys([*totals["metrics"], *counted]):
        yield metric, label_estimate(totals, metric), counted_estimate(totals, metric)


def _lesion_texts(lesions: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns the columns of lesions; empty cells for a label whose are not counted."""
    if lesions is None:
        return dict.fromkeys(("Lesions found", "False lesions a case", "Lesion F1"), "")
    part = "" if lesions["sensitivity"] is None else f" ({fixed(lesions['sensitivity'])})"
    return {
        "Lesions found": f"{lesions['n_found']} of {lesions['n_reference']}{part}",
        "False lesions a case": fixed(lesions["false_per_case"], 2),
        "Lesion F1": "undefined" if lesions["f1"] is None else fixed(lesions["f1"]),
    }


def _labels(content: Evaluated) -> Mapping[str, Any]:
    return content["labels"] or {}


def _progress(content: Evaluated) -> str:
    missing = content["missing_folds"]
    return f"{content['n_evaluated']} of {content['n_expected']} cases" + (
        f" ({', '.join(missing)} missing)." if missing else "."
    )


def _tolerances(content: Evaluated) -> str:
    """Returns the tolerances: `2 mm`, or `2 mm (organ, liver), 1 mm (lesion)` where labels differ in theirs."""
    labels: dict[float, list[str]] = {}
    for name in _labels(content):
        labels.setdefault(content["policy"]["labels"][name]["nsd_tolerance_mm"], []).append(name)
    if len(labels) == 1:
        return f"{next(iter(labels)):g} mm"
    return ", ".join(f"{mm:g} mm ({', '.join(names)})" for mm, names in labels.items())
