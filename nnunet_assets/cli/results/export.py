"""`export`: the summary of an experiment as a table for programs or for a paper."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.results.record_options import found_summary, group_options
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.workflows.results.export_tables import Rows


@click.command()
@group_options
@click.option(
    "-f", "--format", "file_format", type=click.Choice(["csv", "latex"]), required=True, help="What to write."
)
@click.option(
    "--rows",
    type=click.Choice(["label", "fold"]),
    default="label",
    show_default=True,
    help="A row a label and score, or a row a fold.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File.  [default: standard output]"
)
@click.option("--caption", help="Caption of the LaTeX table, as plain text.")
@click.option("--label", help="Label of the LaTeX table, for \\ref.")
def export(
    *,
    project: Path,
    file_format: str,
    rows: "Rows",
    output: Path | None,
    caption: str | None,
    label: str | None,
    **asked: Any,
) -> int:
    """Write the summary of an experiment as CSV, or as a LaTeX table (booktabs).

    Ends as `summarize` does: with 2 where an expected fold is missing, which the table says, or where the record does
    not have the last result of one.
    """
    from nnunet_assets.workflows.results.export_tables import export_csv, export_latex

    if file_format == "csv" and (caption is not None or label is not None):
        raise ConfigError("--caption and --label belong to --format latex. Leave them out.")
    found = found_summary(project_settings(project), **asked)
    summary = found.summary
    text = (
        export_csv(summary, output, rows=rows)
        if file_format == "csv"
        else export_latex(summary, output, caption, label, rows=rows)
    )
    for remark in filter(None, [found.choice, found.left_out, *found.behind]):
        click.echo(remark, err=True)
    if output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{summary.headline()}\nWritten to {output}.", err=True)
    return DONE if found.is_whole else INCOMPLETE
