"""`nnunet-assets search`: a declared search run, looked at, and its winner made an experiment."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.cli.termination import terminated_as_by_ctrl_c
from nnunet_assets.declarations.project import read_project
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.core.search.report import SearchReport


@click.group()
def search() -> None:
    """Search the settings of an experiment, as a file of the project declares it.

    NAME is the search's, with DATASET/ before it where several datasets have one of that name.
    """


@search.command()
@click.argument("name", shell_complete=completions.searches)
@click.option("--extend", is_flag=True, help="Go on in another space than the trials so far were begun in.")
@click.option("--tracker-disable", is_flag=True, help="Do not track the trials in MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; everything else goes to stderr.")
@project_option
def run(name: str, project: Path, extend: bool, tracker_disable: bool, as_json: bool) -> int:
    """Run the search NAME to its end, from where it is.

    What it may cost is said first. Whatever ends it, the next call goes on with the same trials, each from its fold's
    last checkpoint. Ends with 0, and with 2 where its hours are over before its trials are.
    """
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.search.run import run_search, search_named
    from nnunet_assets.workflows.search.search_files import make_search_files

    declared, settings = read_project(project), project_settings(project)
    config = search_named(declared, name)
    with TerminalProgress(to_stderr=as_json) as progress:
        try:
            with terminated_as_by_ctrl_c():
                end = run_search(settings, declared, config, progress, is_tracked=not tracker_disable, extends=extend)
        except KeyboardInterrupt:
            progress.say(f"Interrupted. `nnunet-assets search run {name}` goes on with the same trials.")
            return INTERRUPTED
        made = make_search_files(settings, declared, config, None if tracker_disable else Destination.of(settings))
        if end.reason:
            progress.warn(f"{config.title} ended before its trials: {end.reason}.")
        if made.n_waiting:
            progress.warn(f"{made.n_waiting} trials wait to be sent to MLflow: `nnunet-assets sync` tries again.")
        _show(made.report, as_json=as_json)
        progress.say(f"Page and table: {made.folder}")
    return DONE if end.is_complete else INCOMPLETE


@search.command()
@click.argument("name", shell_complete=completions.searches)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@project_option
def status(name: str, project: Path, as_json: bool) -> int:
    """Show the trials of the search NAME, the best one first.

    What ranks them is the pseudo Dice, on random patches of the fold's validation cases: those that trained longer
    stand before those that were stopped, and scores are compared after equally many epochs.
    """
    from nnunet_assets.workflows.search.adopt import adopted_scores
    from nnunet_assets.workflows.search.run import search_named
    from nnunet_assets.workflows.search.status import search_status

    declared, settings = read_project(project), project_settings(project)
    config = search_named(declared, name)
    report = search_status(settings, config)
    _show(report, as_json=as_json)
    if not as_json:
        for scores in adopted_scores(settings, declared, config, report):
            click.echo(str(scores))
    return DONE


@search.command()
@click.argument("name", shell_complete=completions.searches)
@click.option("--trial", type=click.IntRange(min=0), help="Its number.  [default: the best one trained to its end]")
@project_option
def adopt(name: str, project: Path, trial: int | None) -> int:
    """Make an experiment of the best trial of the search NAME, to be cross-validated on all folds.

    Writes a file that declares it, under the name of the trial's variant: the fold that chose it is trained already.
    `search status` then shows its Dice over all folds, and over those that chose nothing.
    """
    from nnunet_assets.workflows.search.adopt import adopt_trial
    from nnunet_assets.workflows.search.run import search_named

    declared = read_project(project)
    config = search_named(declared, name)
    adopted = adopt_trial(project_settings(project), declared, config, trial)
    title = adopted.config.identity.title
    if adopted.file is None:
        click.echo(f"{title} is declared already.")
        return DONE
    left = [fold for fold in read_project(project).folds_of(adopted.config) if fold != config.fold_key]
    click.echo(f"{adopted.file} declares {title}. Its {config.fold_key} is trained; left: {', '.join(left) or 'none'}.")
    return DONE


def _show(report: "SearchReport", *, as_json: bool) -> None:
    from nnunet_assets.core.search.report import row

    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, allow_nan=False))
        return
    left_out = {"begun"} if report.n_changes else {"begun", "is_counted"}
    rows = [
        {key: _cell(value) for key, value in row(one, report.settings).items() if key not in left_out}
        for one in report.in_order
    ]
    terminal = console()
    print_table(terminal, rows, ["trial"], report.title)
    terminal.print(report.headline())


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
