"""A comparison of experiments as tables: CSV for programs, Markdown and short rows for people.

Differences and ranks are of the pooled means. Text that users chose is escaped; an empty cell is undefined.
"""

from nnunet_assets.core.comparison.comparison import (
    MAX_EACH_WITH_EACH,
    SCHEMA_VERSION,
    SIGNIFICANT_BELOW,
    Comparison,
    Difference,
    Standing,
)
from nnunet_assets.core.evaluation.evaluation import counted_title
from nnunet_assets.core.statistics.estimate import Bootstrap
from nnunet_assets.core.statistics.scoring import is_hurt_by_hallucination, scale_of
from nnunet_assets.core.summary.summary_rows import Row, label_cells
from nnunet_assets.core.text.numbers import beside, fixed, p_text, signed
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.rows import csv_text, markdown_table

HEADLINE_METRIC = "dice"
"""What the short tables show, of the foreground."""


def differences_to_csv(comparison: Comparison) -> str:
    """Returns one row a pair, metric and label: what `Difference` says, with the noise floor beside it."""
    floors = {(floor.metric, floor.label): floor.noise.floor for floor in comparison.noise}
    columns = (
        *("left", "right", "metric", "level", "label", "n_cases", "n_defined_in_one", "mean_difference"),
        *("ci95_low", "ci95_high", "p", "p_corrected", "effect", "n_left_better", "n_right_better", "no_p_because"),
        *("noise_floor", "is_within_noise"),
    )
    rows: list[Row] = [
        {
            "left": one.left,
            "right": one.right,
            "metric": one.metric,
            **label_cells(one.label),
            **_difference_numbers(one, floors.get((one.metric, one.label))),
            "no_p_because": one.no_p_because,
            "is_within_noise": one.is_within_noise,
        }
        for one in comparison.differences
    ]
    return csv_text(columns, rows)


def _difference_numbers(one: Difference, floor: float | None) -> Row:
    return {
        "n_cases": one.n_cases,
        "n_defined_in_one": one.n_defined_in_one,
        "mean_difference": one.mean,
        "ci95_low": one.interval.low if one.interval else None,
        "ci95_high": one.interval.high if one.interval else None,
        "p": one.p,
        "p_corrected": one.p_corrected,
        "effect": one.effect,
        "n_left_better": one.n_left_better,
        "n_right_better": one.n_right_better,
        "noise_floor": floor,
    }


def ranks_to_csv(comparison: Comparison) -> str:
    """Returns one row an experiment, metric and label: what `Standing` says."""
    columns = (
        *("experiment", "metric", "level", "label", "mean_pooled", "n_worst"),
        *("rank", "rank_low", "rank_high", "first_share"),
    )
    rows: list[Row] = [
        {
            "experiment": one.experiment,
            "metric": one.metric,
            **label_cells(one.label),
            **_rank_numbers(one),
        }
        for one in comparison.standings
    ]
    return csv_text(columns, rows)


def _rank_numbers(one: Standing) -> Row:
    return {
        "mean_pooled": one.mean,
        "n_worst": one.n_worst,
        "rank": one.rank,
        "rank_low": one.rank_low,
        "rank_high": one.rank_high,
        "first_share": one.first_share,
    }


def rank_records(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[dict[str, str]]:
    """Returns one row an experiment, the best first: the rank of its foreground mean and how stable that is."""
    drawn = "halves" if comparison.schema == SCHEMA_VERSION else "resamples"
    return [
        {
            "rank": str(one.rank),
            "experiment": one.experiment,
            f"{counted_title(metric)}, pooled": fixed(one.mean or 0.0),
            "cases at the worst value": _n_worst(one, comparison.n_cases),
            f"rank in 95 % of {drawn}": f"{one.rank_low} to {one.rank_high}",
            "first in": f"{beside(100 * (one.first_share or 0.0), 0, 100, digits=0)}%",
        }
        for one in _ranked(comparison, metric)
    ]


def rank_numbers(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[Row]:
    """Returns the numbers of each row of `rank_records` with full precision, named as in the CSV."""
    return [_rank_numbers(one) for one in _ranked(comparison, metric)]


def _ranked(comparison: Comparison, metric: str) -> list[Standing]:
    ranked = [one for one in comparison.standings if _is_foreground(one, metric) and one.rank is not None]
    return sorted(ranked, key=lambda one: one.rank or 0)


def _n_worst(one: Standing, n_cases: int) -> str:
    return "not known" if one.n_worst is None else f"{one.n_worst} of {n_cases}"


def difference_records(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[dict[str, str]]:
    """Returns one row a pair: the difference of its foreground means, as people read it."""
    floors = {(floor.metric, floor.label): floor.noise.floor for floor in comparison.noise}
    return [
        {
            "left": one.left,
            "right": one.right,
            f"{counted_title(metric)}, left − right": mean_difference_text(one, floors.get((one.metric, one.label))),
            "95 % interval": interval_text(one) or "none",
            "p (corrected)": one.no_p_because or ("undefined" if one.p_corrected is None else p_text(one.p_corrected)),
            "effect": "none" if one.effect is None else signed(one.effect, 2),
            "noise between seeds": _noise(one, floors.get((one.metric, one.label))),
            "cases": str(one.n_cases) + (f", {one.n_defined_in_one} in one only" if one.n_defined_in_one else ""),
        }
        for one in comparison.differences
        if _is_foreground(one, metric)
    ]


def difference_numbers(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[Row]:
    """Returns the numbers of each row of `difference_records` with full precision, named as in the CSV."""
    floors = {(floor.metric, floor.label): floor.noise.floor for floor in comparison.noise}
    return [
        _difference_numbers(one, floors.get((one.metric, one.label)))
        for one in comparison.differences
        if _is_foreground(one, metric)
    ]


def interval_text(difference: Difference, between: str = " to ") -> str | None:
    """Returns the interval as people read it, each end on its side of 0; None: there is none."""
    if difference.interval is None:
        return None
    return between.join(_end(end) for end in (difference.interval.low, difference.interval.high))


def _end(end: float) -> str:
    text = beside(end, 0.0, digits=4)
    return f"+{text}" if end > 0 else text


def mean_difference_text(one: Difference, floor: float | None) -> str:
    """Returns the difference as people read it, on its side of the noise between seeds; None: that is not known."""
    if one.mean is None:
        return "undefined"
    if floor is None:
        return signed(one.mean, 4)
    text = beside(one.mean, floor, -floor, digits=4)
    return f"+{text}" if float(text) > 0 else text


def to_markdown(comparison: Comparison) -> str:
    """Returns headline, ranks, differences and notes as Markdown."""
    parts = [f"**{escape_markdown(comparison.dataset)}**: {escape_markdown(comparison.headline())}"]
    for records in (rank_records(comparison), difference_records(comparison)):
        if records:
            header = [column[0].upper() + column[1:] for column in records[0]]
            parts.append(markdown_table(header, [map(escape_markdown, row.values()) for row in records]))
    parts.append("\n".join(f"- {escape_markdown(note)}" for note in notes(comparison)))
    return "\n\n".join(parts) + "\n"


def notes(comparison: Comparison, metric: str = HEADLINE_METRIC) -> list[str]:
    """Returns what a reader of the tables must know."""
    sentences = [f"Left out: {name}: {reason}" for name, reason in comparison.left_out.items()]
    sentences += comparison.notes
    if comparison.bootstrap is None:
        return sentences
    sentences += _method(comparison, comparison.bootstrap, metric)
    if comparison.reference:
        sentences.append(
            f"With more than {MAX_EACH_WITH_EACH} experiments each is compared with one alone, {comparison.reference}: "
            "the first in the order of the declarations that is compared at all, having a complete summary."
        )
    sentences += [f"Repeats, which differ in their seed alone: {', '.join(names)}." for names in comparison.repeats]
    if not comparison.repeats:
        sentences.append("No experiment is declared with more than one seed, so the noise between seeds is not known.")
    return sentences


def _method(comparison: Comparison, drawn: Bootstrap, metric: str) -> list[str]:
    if comparison.schema != SCHEMA_VERSION:
        return [
            "An older version made this comparison: its differences, intervals, p values and effects are over the "
            "cases that both have defined, and not of the means beside them, which may differ the other way. "
            "Materialize comparison again."
        ]
    unit = drawn.clustered_by
    return [
        f"Differences: of the pooled means, left minus right; interval and p from {halves_text(drawn)}, corrected "
        "by Bonferroni over all pairs of the metric and label. "
        f"{LEVEL_NOTE}",
        "Effect: the difference divided by the sum of both errors, what each mean lacks of the best value: from −1 to "
        "1, 0.33 where one errs twice as much as the other.",
        f"Ranks: of the pooled means; the interval and the share of first ranks are those of halves of the {unit}s.",
        _worst_note(comparison, metric),
    ]


def halves_text(drawn: Bootstrap) -> str:
    """Returns of which halves differences are judged: `all 256 halves of the 8 cases`, or `32768 random halves of`."""
    number, kind = ("all ", "") if drawn.n_resamples == 1 << drawn.n_clusters else ("", "random ")
    return f"{number}{drawn.n_resamples} {kind}halves of the {drawn.n_clusters} {drawn.clustered_by}s"


LEVEL_NOTE = f"An interval without 0 is a p below {SIGNIFICANT_BELOW:g} before the correction."


def _worst_note(comparison: Comparison, metric: str) -> str:
    scale = scale_of(metric, comparison.diagonal_mm)
    if not is_hurt_by_hallucination(metric):
        return (
            f"An object that is missed counts {scale.worst or 0.0:g}. A case whose reference does not have it is left "
            f"out of its mean: {counted_title(metric).lower()} does not see what is drawn where there is none."
        )
    failed, left_out = (
        "An object that is missed, or drawn where there is none,",
        "A case without it in either mask is left out of its mean.",
    )
    if not scale.is_lower_better:
        return f"{failed} counts {scale.worst or 0.0:g}. {left_out}"
    counts = (
        f"counts {fixed(scale.worst)} mm, the diagonal of the largest image"
        if scale.worst is not None
        else "is nowhere"
    )
    return f"{counted_title(metric)}: the lowest mean is the best. {failed} {counts}. {left_out}"


def _is_foreground(one: Difference | Standing, metric: str) -> bool:
    return one.metric == metric and one.label is None


def _noise(one: Difference, floor: float | None) -> str:
    if one.is_within_noise is None or floor is None:
        return "not known"
    size = beside(floor, abs(one.mean or 0.0), abs(float(mean_difference_text(one, floor))), digits=4)
    return f"{'smaller' if one.is_within_noise else 'larger'} than the noise between seeds ({size})"
