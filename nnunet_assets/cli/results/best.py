"""`best`: which experiment of a dataset to take, and what it may be expected to score."""

import json
from pathlib import Path

import click
from rich.table import Table

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.declarations.project import read_project
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.results.best import find_best_configuration


@click.command()
@click.argument("dataset", shell_complete=completions.datasets)
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def best(dataset: str, project: Path, as_json: bool) -> int:
    """Choose among the declared experiments of DATASET, and estimate what the chosen one will score.

    The best mean Dice is taken; where others cannot be told from it, the simplest of them. A mean that was chosen as
    the best of several promises too much: the expected Dice beside it is estimated by choosing on some folds and
    scoring on the others. A summary that is missing, or older than one of the folds, is made first. Ends with 0, with 2
    where an experiment was left out, and with 1 where there is nothing to choose from.
    """
    settings = project_settings(project)
    with TerminalProgress(to_stderr=True) as progress:
        found = find_best_configuration(settings.roots, read_project(settings.project), dataset, progress)
    code = INCOMPLETE if found.left_out else DONE
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
        return code
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.reports.tables.best_configuration_rows import candidate_records, notes

    terminal = console()
    terminal.print(f"{dataset}: {found.headline()}", markup=False)
    rows = candidate_records(found)
    table = Table(*(column[0].upper() + column[1:] for column in rows[0]))
    for row in rows:
        table.add_row(*row.values())
    terminal.print(table)
    for sentence in (*found.reasons(), *notes(found)):
        terminal.print(sentence, markup=False)
    return code
