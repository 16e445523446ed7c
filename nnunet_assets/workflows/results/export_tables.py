"""The summary of an experiment as tables for a paper: CSV, Parquet, LaTeX (booktabs) and Markdown.

On disk: `cv_table.csv`, `.parquet`, `.tex` and `.md`, beside the summary; or the one file that a user names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.summary.cross_validation import CVSummary
from nnunet_assets.core.summary.fold_means import FoldMeansSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_files import read_current_summary
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.errors import ConfigError
from nnunet_assets.reports.tables import fold_means_tables, fold_tables, summary_tables
from nnunet_assets.reports.tables.sealed_files import sealed_file
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.store.destination import Destination

Summary = ScoredSummary | FoldMeansSummary
Exported = ScoredSummary | FoldMeansSummary | CVSummary
"""The last one is built by hand."""
Rows = Literal["label", "fold"]


@dataclass(frozen=True)
class ExportedTables:
    """The tables that were written.

    Attributes:
        files: Ending to file.
        markdown: The table in Markdown.
        digest: Names what they say.
        tracked: The summary's MLflow run, which has them too.
        columns: Of the CSV and the Parquet file, with their types.
        n_rows: Of these.
    """

    files: Mapping[str, Path]
    markdown: str
    digest: str
    tracked: TrackedRun
    columns: Mapping[str, type]
    n_rows: int


def export_tables(roots: Roots, experiment: Experiment, destination: Destination) -> ExportedTables:
    """Writes the summary that is there in every form, and adds the files to its MLflow run.

    Raises:
        SummaryError: As `read_current_summary`.
    """
    summary = read_current_summary(roots, experiment)
    tables = {
        "csv": summary_tables.to_csv(summary),
        "tex": summary_tables.to_latex(summary),
        "md": summary_tables.to_markdown(summary),
    }
    contents = {
        **{ending: text.encode() for ending, text in tables.items()},
        "parquet": summary_tables.to_parquet(summary),
    }
    files = {ending: experiment.summary_folder(roots) / f"cv_table.{ending}" for ending in contents}
    sealing = summary_sealing(summary)
    for ending, content in contents.items():
        write_atomically(files[ending], sealed_file(content, files[ending].name, sealing))
    tracked = bring_up_to_date(destination, summary_run(experiment), list(files.values()))
    columns, n_rows = summary_tables.columns_of(summary), len(summary_tables.to_records(summary))
    return ExportedTables(files, tables["md"], json_sha256(tables), tracked, columns, n_rows)


def export_csv(summary: Exported, output: Path | str | TextIO | None = None, *, rows: Rows = "label") -> str:
    """Returns the summary as CSV, and writes it to a file if one is given.

    Args:
        summary: What to show; one that was built by hand has rows by fold alone.
        output: The file, by its path or open for text; None: none is written.
        rows: A row a label and score, or a row a fold; the latter has no seal, since no result says which run it shows.

    Raises:
        ConfigError: The file cannot be written.
    """
    if rows == "fold" or isinstance(summary, CVSummary):
        return _written(fold_tables.to_csv(summary), output)
    if isinstance(summary, ScoredSummary):
        return _written(_sealed(summary_tables.to_csv(summary), "csv", summary), output)
    return _written(fold_means_tables.to_csv(summary), output)


def export_latex(
    summary: Exported,
    output: Path | str | TextIO | None = None,
    caption: str | None = None,
    label: str | None = None,
    *,
    rows: Rows = "label",
) -> str:
    r"""Returns the summary as a LaTeX table (booktabs), and writes it to a file if one is given.

    Args:
        summary: As for `export_csv`.
        output: Likewise.
        caption: Plain text; None: the experiment and how many folds are finished.
        label: For `\ref`; None: no label.
        rows: As for `export_csv`.

    Raises:
        ConfigError: The file cannot be written, or the label holds a character that LaTeX does not take in one.
    """
    if rows == "fold" or isinstance(summary, CVSummary):
        return _written(fold_tables.to_latex(summary, caption, label), output)
    if isinstance(summary, ScoredSummary):
        return _written(_sealed(summary_tables.to_latex(summary, caption, label), "tex", summary), output)
    return _written(fold_means_tables.to_latex(summary, caption, label), output)


def summary_sealing(summary: ScoredSummary) -> Sealing:
    """Returns what exports of a summary say of themselves."""
    return Sealing.of_content("/".join(summary.experiment.key_prefix), summary.to_json())


def _sealed(text: str, ending: str, summary: ScoredSummary) -> str:
    return sealed_file(text.encode(), f"cv_table.{ending}", summary_sealing(summary)).decode()


def _written(text: str, output: Path | str | TextIO | None) -> str:
    if output is None:
        return text
    try:
        if isinstance(output, Path | str):
            write_atomically(Path(output).absolute(), text.encode())
        else:
            output.write(text)
    except OSError as error:
        raise ConfigError(f"{output} cannot be written: {error.strerror}. Name another file.") from error
    return text
