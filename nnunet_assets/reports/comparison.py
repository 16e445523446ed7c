"""A comparison of experiments as tables: CSV for programs, Markdown and short rows for people.

Differences and ranks are of the pooled estimand. Text that users chose is escaped; an empty cell is undefined.
"""

from nnunet_assets.core.comparison import MAX_EACH_WITH_EACH, Comparison, Difference, Standing
from nnunet_assets.core.evaluation import metric_title
from nnunet_assets.reports.escaping import escape_markdown
from nnunet_assets.reports.rows import Row, csv_text, label_cells, markdown_table

HEADLINE_METRIC = "dice"
"""What the short tables show, of the foreground."""


def differences_to_csv(comparison: Comparison) -> str:
    """Returns one row a pair, metric and label: what `Difference` says, with the noise floor beside it."""
    floors = {(floor.metric, floor.label): floor.noise.floor for floor in comparison.noise}
    columns = (
        *("left", "right", "metric", "level", "label", "n_cases", "n_defined_in_one", "mean_difference"),
        *("ci95_low", "ci95_high", "n_tested", "p", "p_holm", "rank_biserial", "no_p_because"),
        *("noise_floor", "is_within_noise"),
    )
    rows: list[Row] = [
        {
            "left": one.left,
            "right": one.right,
            "metric": one.metric,
            **label_cells(one.label),
            "n_cases": one.n_cases,
            "n_defined_in_one": one.n_defined_in_one,
            "mean_difference": one.mean,
            "ci95_low": one.interval.low if one.interval else None,
            "ci95_high": one.interval.high if one.interval else None,
            "n_tested": one.n_tested,
            "p": one.p,
            "p_holm": one.p_holm,
            "rank_biserial": one.rank_biserial,
            "no_p_because": one.no_p_because,
            "noise_floor": floors.get((one.metric, one.label)),
            "is_within_noise": one.is_within_noise,
        }
        for one in comparison.differences
    ]
    return csv_text(columns, rows)


def ranks_to_csv(comparison: Comparison) -> str:
    """Returns one row an experiment, metric and label: what `Standing` says."""
    columns = ("experiment", "metric", "level", "label", "mean_pooled", "rank", "rank_low", "rank_high", "first_share")
    rows: list[Row] = [
        {
            "experiment": one.experiment,
            "metric": one.metric,
            **label_cells(one.label),
            "mean_pooled": one.mean,
            "rank": one.rank,
            "rank_low": one.rank_low,
            "rank_high": one.rank_high,
            "first_share": one.first_share,
        }
        for one in comparison.standings
    ]
    return csv_text(columns, rows)


def rank_records(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[dict[str, str]]:
    """Returns one row an experiment, the best first: the rank of its foreground mean and how stable that is."""
    ranked = [one for one in comparison.standings if _is_foreground(one, metric) and one.rank is not None]
    return [
        {
            "rank": str(one.rank),
            "experiment": one.experiment,
            f"{metric_title(metric)}, pooled": f"{one.mean:.3f}",
            "rank in 95 % of resamples": f"{one.rank_low} to {one.rank_high}",
            "first in": f"{one.first_share:.0%}",
        }
        for one in sorted(ranked, key=lambda one: one.rank or 0)
    ]


def difference_records(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[dict[str, str]]:
    """Returns one row a pair: the difference of its foreground means, as people read it."""
    floors = {(floor.metric, floor.label): floor.noise.floor for floor in comparison.noise}
    return [
        {
            "left": one.left,
            "right": one.right,
            f"{metric_title(metric)}, left − right": "undefined" if one.mean is None else f"{one.mean:+.4f}",
            "95 % interval": f"{one.interval.low:+.4f} to {one.interval.high:+.4f}" if one.interval else "none",
            "p (Holm)": one.no_p_because or _p(one.p_holm),
            "effect": "none" if one.rank_biserial is None else f"{one.rank_biserial:+.2f}",
            "noise between seeds": _noise(one, floors.get((one.metric, one.label))),
            "cases": str(one.n_cases) + (f", {one.n_defined_in_one} in one only" if one.n_defined_in_one else ""),
        }
        for one in comparison.differences
        if _is_foreground(one, metric)
    ]


def to_markdown(comparison: Comparison) -> str:
    """Returns headline, ranks, differences and notes as Markdown."""
    parts = [f"**{escape_markdown(comparison.dataset)}**: {escape_markdown(comparison.headline())}"]
    for records in (rank_records(comparison), difference_records(comparison)):
        if records:
            header = [column[0].upper() + column[1:] for column in records[0]]
            parts.append(markdown_table(header, [map(escape_markdown, row.values()) for row in records]))
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in notes(comparison)))
    return "\n\n".join(parts) + "\n"


def notes(comparison: Comparison) -> list[str]:
    """Returns what a reader of the tables must know."""
    sentences = [f"Left out: {name}: {reason}" for name, reason in comparison.left_out.items()]
    sentences += comparison.notes
    if comparison.bootstrap is None:
        return sentences
    unit = comparison.bootstrap.clustered_by
    sentences += [
        "Differences: mean over the cases that are defined in both; 95 % interval by bootstrap (BCa) of "
        f"{comparison.bootstrap.n_clusters} {unit}s.",
        f"p: Wilcoxon's signed-rank test of the {unit}s' differences, those of 0 left out, corrected by Holm over all "
        "pairs of the metric and label. Effect: rank-biserial correlation, from −1 to 1.",
        "Ranks: of the pooled means; the interval and the share of first ranks are those of resampled data.",
    ]
    if comparison.reference:
        sentences.append(
            f"With more than {MAX_EACH_WITH_EACH} experiments each is compared with one alone, {comparison.reference}: "
            "the first in the order of the declarations that is compared at all, having a complete summary."
        )
    sentences += [f"Repeats, which differ in their seed alone: {', '.join(names)}." for names in comparison.repeats]
    if not comparison.repeats:
        sentences.append("No experiment is declared with more than one seed, so the noise between seeds is not known.")
    return sentences


def _is_foreground(one: Difference | Standing, metric: str) -> bool:
    return one.metric == metric and one.label is None


def _p(p: float | None) -> str:
    return "undefined" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _noise(one: Difference, floor: float | None) -> str:
    if one.is_within_noise is None:
        return "not known"
    return f"{'smaller' if one.is_within_noise else 'larger'} than the noise between seeds ({floor:.4f})"
