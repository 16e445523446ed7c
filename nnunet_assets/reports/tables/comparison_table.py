"""The experiments of a comparison in one table: a row an experiment, a column a label, the pooled Dice in each cell.

CSV and Parquet are for programs: numbers in full precision, whole names, the verdict beside each mean. Markdown and
LaTeX are for people: `0.871 ± 0.012`, the best of a column in bold, `†` what is not significantly worse, names cut to
what tells them apart. Text that users chose is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnunet_assets.core.comparison.comparison import SCHEMA_VERSION, Comparison, Standing
from nnunet_assets.core.comparison.verdicts import Verdict, verdicts
from nnunet_assets.core.statistics.estimate import MIN_PATIENTS
from nnunet_assets.core.summary.summary_rows import FOREGROUND, Row
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.reports.tables.comparison_rows import HEADLINE_METRIC
from nnunet_assets.reports.text.escaping import escape_latex, escape_markdown
from nnunet_assets.reports.text.experiment_names import short_names
from nnunet_assets.reports.text.latex import escaped_number, latex_row, latex_table, tabular
from nnunet_assets.reports.text.rows import csv_text, markdown_table, parquet_bytes

MARKS: dict[Verdict, str] = {"not_worse": "†", "not_tested": "‡"}

_COLUMNS_A_BLOCK = 3
"""Of labels, side by side in LaTeX: more do not fit into the 345 pt that a line of `article` has."""


@dataclass(frozen=True)
class Cell:
    """An experiment's Dice of one label as people read it, with its mark; `verdict` None: it is undefined."""

    text: str
    verdict: Verdict | None

    @property
    def is_best(self) -> bool:
        """Whether to set it in bold."""
        return self.verdict == "best"


def to_records(comparison: Comparison) -> list[Row]:
    """Returns one row an experiment, in the order of their declaration; none of fewer than two experiments.

    Columns: `experiment`; by label `dice_mean_pooled/LABEL`, `dice_sd_pooled/LABEL` and `verdict/LABEL` (`best`,
    `not_worse`: not significantly, `worse`, `not_tested`); the same of the foreground, without `/LABEL`. None is
    undefined.
    """
    found = verdicts(comparison, HEADLINE_METRIC)
    rows: dict[str, Row] = {}
    for one in _standings(comparison):
        slash_label = "" if one.label is None else f"/{one.label}"
        rows.setdefault(one.experiment, {"experiment": one.experiment}).update(
            {
                f"dice_mean_pooled{slash_label}": one.mean,
                f"dice_sd_pooled{slash_label}": one.sd,
                f"verdict{slash_label}": found.get((one.experiment, one.label)),
            }
        )
    return list(rows.values())


def to_csv(comparison: Comparison) -> str:
    """Returns the rows of `to_records` as CSV; an empty cell is None."""
    records = to_records(comparison)
    return csv_text(list(records[0]) if records else ["experiment"], records)


def to_parquet(comparison: Comparison) -> bytes:
    """Returns the rows of `to_records` as a Parquet file; None is null, and no name is changed."""
    records = to_records(comparison)
    columns = list(records[0]) if records else ["experiment"]
    return parquet_bytes({name: float if name.startswith("dice_") else str for name in columns}, records)


def table_header(comparison: Comparison) -> list[str]:
    """Returns the names of the labels, and that of the foreground mean as the last."""
    labels = dict.fromkeys(one.label for one in _standings(comparison))
    return [FOREGROUND.capitalize() if label is None else label for label in labels]


def table_rows(comparison: Comparison) -> dict[str, list[Cell]]:
    """Returns the short name of each experiment to its cells, in the order of `table_header`."""
    found = verdicts(comparison, HEADLINE_METRIC)
    names, _ = short_names(comparison.experiments)
    rows: dict[str, list[Cell]] = {}
    for one in _standings(comparison):
        verdict = found.get((one.experiment, one.label))
        rows.setdefault(names[one.experiment], []).append(Cell(_text(one, verdict), verdict))
    return rows


def table_notes(comparison: Comparison) -> list[str]:
    """Returns what a reader of the table must know."""
    if comparison.bootstrap is None:
        return ["Fewer than two experiments can be compared: there is nothing to compare yet."]
    _, in_common = short_names(comparison.experiments)
    cases = f"the {comparison.n_cases} cases that all of them validated"
    unit = comparison.bootstrap.clustered_by
    sentences = [
        f"Dice, mean ± SD over {cases}; of the foreground the mean of the label means, and the SD of the cases' means.",
        "Bold: the highest mean. †: not significantly worse than that (test of the difference of the two means by "
        f"halves of the {unit}s, p of 0.05 or more after Bonferroni's correction over all pairs of the label), "
        "which is no proof that it is as good.",
    ]
    if "not_tested" in verdicts(comparison, HEADLINE_METRIC).values():
        sentences.append(f"‡: not tested against that: {_why_not_tested(comparison, unit)}.")
    if in_common:
        sentences.append(f"In all experiments: {in_common}.")
    if comparison.left_out:
        sentences.append(f"Left out of the comparison: {', '.join(comparison.left_out)}.")
    return [*sentences, *comparison.notes]


def _why_not_tested(comparison: Comparison, unit: str) -> str:
    if comparison.schema != SCHEMA_VERSION:
        return "an older version tested other differences than those of the means; materialize comparison again"
    return (
        f"there are fewer than {MIN_PATIENTS} {unit}s, or the two are not compared (they differ in their seed alone, "
        "or there are too many experiments)"
    )


def to_markdown(comparison: Comparison, max_rows: int | None = None) -> str:
    """Returns the table and its notes as Markdown.

    Args:
        max_rows: None: all of them; what is left out is counted below.
    """
    rows = [
        [escape_markdown(name), *(f"**{cell.text}**" if cell.is_best else cell.text for cell in cells)]
        for name, cells in table_rows(comparison).items()
    ]
    header = ["Experiment", *map(escape_markdown, table_header(comparison))]
    notes = table_notes(comparison)
    if max_rows is not None and len(rows) > max_rows:
        notes = [f"The first {max_rows} of {len(rows)} experiments.", *notes]
    parts = [markdown_table(header, rows[:max_rows])] if rows else []
    return "\n\n".join([*parts, "\n".join(f"- {escape_markdown(note)}" for note in notes)]) + "\n"


def to_latex(comparison: Comparison, caption: str | None = None, label: str | None = None) -> str:
    r"""Returns a `table` environment for a document that loads `booktabs`, and siunitx if it likes; see `latex`.

    Beyond three columns the table is continued below itself.

    Args:
        caption: Plain text; LaTeX in it is shown, not run. None: the dataset and how many experiments are compared.
        label: For `\ref`. None: no label.

    Raises:
        ConfigError: The label holds a character that LaTeX does not take in one.
    """
    text = f"Dice of {len(comparison.experiments)} experiments on {comparison.dataset}." if caption is None else caption
    header, rows = table_header(comparison), table_rows(comparison)
    blocks = [slice(start, start + _COLUMNS_A_BLOCK) for start in range(0, len(header), _COLUMNS_A_BLOCK)]
    return latex_table(
        *(_latex_block(header[columns], {name: cells[columns] for name, cells in rows.items()}) for columns in blocks),
        caption=text,
        label=label,
        notes=table_notes(comparison),
        is_small=True,
    )


def _latex_block(header: Sequence[str], rows: Mapping[str, Sequence[Cell]]) -> list[str]:
    body = [[escape_latex(name), *map(_latex_cell, cells)] for name, cells in rows.items()]
    return tabular(f"l{'c' * len(header)}", [latex_row(["Experiment", *map(escape_latex, header)])], body)


def _latex_cell(cell: Cell) -> str:
    text = escaped_number(cell.text)
    return rf"\textbf{{{text}}}" if cell.is_best else text


def _standings(comparison: Comparison) -> list[Standing]:
    return [one for one in comparison.standings if one.metric == HEADLINE_METRIC]


def _text(one: Standing, verdict: Verdict | None) -> str:
    if one.mean is None or verdict is None:
        return "undefined"
    spread = "" if one.sd is None else f" ± {fixed(one.sd)}"
    return f"{fixed(one.mean)}{spread}{MARKS.get(verdict, '')}"
