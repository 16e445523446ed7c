"""The choice among a dataset's candidates as short rows and sentences for people, and as tables for programs."""

from collections.abc import Sequence

from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.selection.best_configuration import BestConfiguration, Candidate
from nnunet_assets.core.selection.postprocessing import LabelEffect, StepEffect
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.summary.summary_rows import Row
from nnunet_assets.core.text.numbers import beside, fixed, signed
from nnunet_assets.reports.text.escaping import escape_latex, escape_markdown
from nnunet_assets.reports.text.latex import escaped_rows, latex_row, latex_table, tabular
from nnunet_assets.reports.text.rows import csv_text, markdown_table, parquet_bytes

_MIB = 2**20
COLUMNS: dict[str, type] = {
    "candidate": str,
    "model": str,
    "members": str,
    "postprocessing": str,
    "dice": float,
    "n_defined": int,
    "behind": float,
    "behind_ci95_low": float,
    "behind_ci95_high": float,
    "is_distinguished": bool,
    "weights_bytes": int,
    "is_chosen": bool,
}


def candidate_records(found: BestConfiguration) -> list[dict[str, str]]:
    """Returns one row a candidate, the best mean first."""
    return [
        {
            "candidate": one.name,
            "taken": "yes" if one.name == found.chosen else "",
            "Dice, pooled": "undefined" if one.mean is None else fixed(one.mean),
            "behind the best": "" if one is found.candidates[0] else fixed(one.behind, 4),
            "95 % interval": _interval(one.behind_interval),
            "weights": "not known" if one.weights_bytes is None else f"{one.weights_bytes / _MIB:.0f} MiB",
        }
        for one in found.candidates
    ]


def candidate_numbers(found: BestConfiguration) -> list[Row]:
    """Returns the numbers of each row of `candidate_records` with full precision, named as in the CSV."""
    names = ("dice", "n_defined", "behind", "behind_ci95_low", "behind_ci95_high", "weights_bytes")
    return [{name: row[name] for name in names} for row in to_records(found)]


def step_numbers(found: BestConfiguration) -> list[Row]:
    """Returns the numbers of each row of `step_records` of all models with full precision."""
    return [
        {
            "gain_dice": effect.gain,
            "ci95_low": effect.interval.low if effect.interval else None,
            "ci95_high": effect.interval.high if effect.interval else None,
            "n_better": effect.n_better,
            "n_worse": effect.n_worse,
        }
        for effects in found.postprocessing.values()
        for effect in effects
    ]


def choice_tiles(found: BestConfiguration) -> list[dict[str, str]]:
    """Returns the numbers of the choice, each with what it means: first the one that may be expected."""
    chosen, n = found.chosen_candidate, len(found.candidates)
    own = "undefined" if chosen.mean is None else fixed(chosen.mean)
    tiles = []
    if found.expected is not None:
        interval = found.expected.interval
        ends = f", 95 % interval {fixed(interval.low)} to {fixed(interval.high)}" if interval else ""
        tiles.append({"number": fixed(found.expected.mean), "meaning": f"Dice to expect{ends}"})
    of = f"the mean by which it was chosen among {n}" if n > 1 else "its mean, the only candidate's"
    tiles.append({"number": own, "meaning": of})
    if found.optimism is not None and n > 1:
        tiles.append({"number": signed(found.optimism), "meaning": "by how much that mean is too good"})
    if found.expected is not None and found.expected.chosen_without:
        votes = list(found.expected.chosen_without.values())
        number = f"{votes.count(found.chosen)} of {len(votes)}"
        tiles.append({"number": number, "meaning": "choose it, where one fold each is left out"})
    return tiles


def step_records(found: BestConfiguration, model: str | None = None) -> list[dict[str, str]]:
    """Returns one row a postprocessing step that was looked at.

    Args:
        found: The choice.
        model: Whose steps; None: of all models, each named.
    """
    models = found.postprocessing if model is None else {model: found.postprocessing.get(model, ())}
    return [
        {**({} if model else {"model": name}), **_step_record(effect)}
        for name, effects in models.items()
        for effect in effects
    ]


def _step_record(effect: StepEffect) -> dict[str, str]:
    return {
        "largest component of": effect.owner or "the whole foreground",
        "gain": signed(effect.gain, 4),
        "95 % interval": _interval(effect.interval),
        "patients better, worse": f"{effect.n_better}, {effect.n_worse}",
        "taken": "yes" if effect.is_taken else "no",
        "because": effect.because,
        "Dice before and after": "; ".join(_label_text(name, one) for name, one in effect.labels.items()),
    }


def _label_text(name: str, one: LabelEffect) -> str:
    means = " to ".join("undefined" if mean is None else fixed(mean) for mean in (one.before, one.after))
    n = (
        f"{one.n_defined_before}"
        if one.n_defined_before == one.n_defined_after
        else (f"{one.n_defined_before} and {one.n_defined_after}")
    )
    false = f", drawn where it is not in {one.n_false_before} and {one.n_false_after}" if one.n_false_before else ""
    return f"{name} {means} (n {n}{false})"


def notes(found: BestConfiguration) -> list[str]:
    """Returns what a reader of the choice must know."""
    left_out = [f"Left out: {name}: {reason}" for name, reason in found.left_out.items()]
    if found.expected is None:
        return [f"No expected Dice: {found.not_expected_because}.", *left_out, *found.notes]
    means = (
        "The expected Dice is of one model, trained on all folds but one and chosen by this rule; an ensemble of the "
        "folds is mostly better, and only a test set says by how much."
    )
    return [means, *left_out, *found.notes]


def to_records(found: BestConfiguration) -> list[Row]:
    """Returns one row a candidate by `COLUMNS`, with full precision."""
    return [_record(one, is_chosen=one.name == found.chosen) for one in found.candidates]


def to_csv(found: BestConfiguration) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    return csv_text(list(COLUMNS), to_records(found))


def to_parquet(found: BestConfiguration) -> bytes:
    """Returns the rows of `to_records` as a Parquet file."""
    return parquet_bytes(COLUMNS, to_records(found))


def to_markdown(found: BestConfiguration) -> str:
    """Returns candidates, reasons and notes as Markdown."""
    rows = candidate_records(found)
    table = markdown_table(list(rows[0]), [[escape_markdown(cell) for cell in row.values()] for row in rows])
    sentences = "\n".join(f"- {escape_markdown(one)}" for one in (*found.reasons(), *notes(found)))
    return f"{escape_markdown(found.headline())}\n\n{table}\n\n{sentences}\n"


def to_latex(found: BestConfiguration) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs`; see `latex`."""
    rows = candidate_records(found)
    header = latex_row(escape_latex(name) for name in rows[0])
    body = escaped_rows(list(row.values()) for row in rows)
    return latex_table(
        tabular(f"l{'c' * (len(rows[0]) - 1)}", [header], body),
        caption=f"The configuration taken for {found.dataset}: {found.headline()}.",
        label=None,
        notes=[*found.reasons(), *notes(found)],
        is_small=True,
    )


def _record(one: Candidate, *, is_chosen: bool) -> Row:
    interval = one.behind_interval
    return {
        "candidate": one.name,
        "model": one.model,
        "members": ", ".join(one.members),
        "postprocessing": _steps_text(one.steps),
        "dice": one.mean,
        "n_defined": one.n_defined,
        "behind": one.behind,
        "behind_ci95_low": interval.low if interval else None,
        "behind_ci95_high": interval.high if interval else None,
        "is_distinguished": one.is_distinguished,
        "weights_bytes": one.weights_bytes,
        "is_chosen": is_chosen,
    }


def _steps_text(steps: Sequence[Step]) -> str:
    """Returns the labels of each step: `1 2; 2`."""
    return "; ".join(" ".join(map(str, step)) for step in steps)


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return " to ".join(beside(end, 0.0, digits=4) for end in (interval.low, interval.high))
