"""`compare`: the experiments of a dataset against each other, from their summaries."""

import json
from pathlib import Path

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table, with_letters
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.core.evaluation.evaluation import EVALUATED_METRICS
from nnunet_assets.declarations.project import read_project
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.results.compare import compare_declared, compare_evaluated


@click.command()
@click.argument("dataset", shell_complete=completions.datasets)
@click.option(
    "--metric",
    type=click.Choice(EVALUATED_METRICS),
    help="Of the evaluations, in place of the summaries' Dice and IoU.",
)
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(dataset: str, metric: str | None, project: Path, as_json: bool) -> int:
    """Compare the declared experiments of DATASET, as the asset `comparison` does; its files are not written.

    A summary that is missing, or older than one of the folds, is made first. Ends with 0, with 2 where an experiment
    was left out, since it has no complete summary, no evaluation of its folds where --metric asks for one, or is of
    other splits or raw data, and with 1 where no two may be compared. The reason stands beside each that is left out.
    """
    settings = project_settings(project)
    declared = read_project(settings.project)
    with TerminalProgress(to_stderr=True) as progress:
        comparison = (
            compare_declared(settings.roots, declared, dataset, progress)
            if metric is None
            else compare_evaluated(settings.roots, declared, dataset, metric, progress)
        )
    code = INCOMPLETE if comparison.left_out else DONE
    if as_json:
        click.echo(json.dumps(comparison.to_json(), indent=2, allow_nan=False))
        return code
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.reports.tables.comparison_rows import HEADLINE_METRIC, difference_records, notes, rank_records
    from nnunet_assets.reports.text.experiment_names import short_names, with_short_names

    terminal = console()
    terminal.print(f"{dataset}: {comparison.headline()}")
    shown = metric or HEADLINE_METRIC
    if in_common := short_names(comparison.experiments)[1]:
        terminal.print(f"In all experiments: {in_common}.")
    print_table(terminal, with_short_names(rank_records(comparison, shown), comparison.experiments), ["experiment"])
    pairs = with_short_names(difference_records(comparison, shown), comparison.experiments)
    pairs, letters = with_letters(terminal, pairs, ("left", "right"))
    for letter, name in letters.items():
        terminal.print(f"{letter}: {name}")
    print_table(terminal, pairs, ["left − right"])
    for note in notes(comparison, shown):
        terminal.print(note)
    return code
