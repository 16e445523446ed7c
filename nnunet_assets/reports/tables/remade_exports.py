"""The exports of a result made anew, without their seals: what a file that was published is compared with."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.evaluation.evaluation_files import LABELS_CSV, LABELS_LATEX, LABELS_MARKDOWN
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.reports.tables import case_scores, evaluation_tables, summary_tables

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.evaluation.gap import Gap
    from nnunet_assets.core.selection.best_configuration import BestConfiguration

Exports = Mapping[str, Callable[[], bytes]]
"""Name to what makes it."""


def summary_exports(summary: ScoredSummary) -> Exports:
    """Returns the tables of a summary."""
    return {
        "cv_table.csv": _text(summary_tables.to_csv, summary),
        "cv_table.tex": _text(summary_tables.to_latex, summary),
        "cv_table.md": _text(summary_tables.to_markdown, summary),
        "cv_table.parquet": partial(summary_tables.to_parquet, summary),
        "cv_cases.csv": _text(case_scores.cases_to_csv, summary),
        "cv_cases.parquet": partial(case_scores.cases_to_parquet, summary),
    }


def comparison_exports(comparison: "Comparison") -> Exports:
    """Returns the tables of a comparison."""
    from nnunet_assets.reports.tables import comparison_rows, comparison_table

    return {
        "comparison_table.csv": _text(comparison_table.to_csv, comparison),
        "comparison_table.tex": _text(comparison_table.to_latex, comparison),
        "comparison_table.md": _text(comparison_table.to_markdown, comparison),
        "comparison_table.parquet": partial(comparison_table.to_parquet, comparison),
        "comparison_differences.csv": _text(comparison_rows.differences_to_csv, comparison),
        "comparison_ranks.csv": _text(comparison_rows.ranks_to_csv, comparison),
        "comparison.md": _text(comparison_rows.to_markdown, comparison),
    }


def choice_exports(found: "BestConfiguration") -> Exports:
    """Returns the tables of a choice among a dataset's candidates."""
    from nnunet_assets.reports.tables import best_configuration_rows as tables

    return {
        "best_configuration.csv": _text(tables.to_csv, found),
        "best_configuration.tex": _text(tables.to_latex, found),
        "best_configuration.md": _text(tables.to_markdown, found),
        "best_configuration.parquet": partial(tables.to_parquet, found),
    }


def evaluation_exports(content: Mapping[str, Any]) -> Exports:
    """Returns the tables of an evaluation, by what `evaluation.json` holds; none where it has no means."""
    if content["labels"] is None:
        return {}
    return {
        LABELS_CSV: _text(evaluation_tables.to_csv, content),
        LABELS_LATEX: _text(evaluation_tables.to_latex, content),
        LABELS_MARKDOWN: _text(evaluation_tables.to_markdown, content),
    }


def gap_exports(gaps: "list[Gap]") -> Exports:
    """Returns the table of gaps."""
    from nnunet_assets.core.evaluation.gap import GAP_TABLE
    from nnunet_assets.reports.tables.gap_tables import gaps_to_csv

    return {GAP_TABLE: _text(gaps_to_csv, gaps)}


def _text(make: Callable[..., str], *arguments: Any) -> Callable[[], bytes]:
    return lambda: make(*arguments).encode()
