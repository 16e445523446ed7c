"""`sync`: sends to MLflow what a server that was down, or a run that was killed, left in the folds' journals."""

import json
from pathlib import Path

import click

from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.finite_numbers import FiniteRange
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import console
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.sync import SyncReport
from nnunet_assets.workflows.fold.sync import sync as sync_folds

LONGEST_SECONDS = 7 * 24 * 3600.0
"""A week: Python's own waiting ends with an error at thousands of years."""


@click.command()
@click.argument("folds", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@project_option
@click.option(
    "--timeout",
    type=FiniteRange(0, LONGEST_SECONDS),
    default=300.0,
    show_default=True,
    help="Seconds after which the rest is left waiting.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync(folds: tuple[Path, ...], project: Path, timeout: float, as_json: bool) -> int:
    """Send to MLflow what waits of the folds in the folders FOLDS; without FOLDS, of every fold of the project.

    What MLflow has already is not sent again. Ends with 0 where MLflow has everything, with 2 where something still
    waits, and with 1 where a folder in FOLDS holds no fold that was tracked.
    """
    settings = project_settings(project)
    report = sync_folds(settings, Destination.of(settings), folds, timeout)
    if as_json:
        click.echo(json.dumps(_json(report), indent=2))
    else:
        _print(settings, report)
    return INCOMPLETE if report.n_waiting else DONE


def _print(settings: Settings, report: SyncReport) -> None:
    terminal = console()
    print_table(terminal, [_row(settings, *item) for item in report.folds.items()], ["fold"])
    if report.problem:
        terminal.print(report.problem)
    for folder, fold in report.folds.items():
        if fold.problem and not report.problem:
            terminal.print(f"{_name(settings, folder)}: {fold.problem}")
    n_waiting, n = report.n_waiting, len(report.folds)
    terminal.print(f"{n_waiting} of {n} folds wait." if n_waiting else "MLflow has every fold.")


def _row(settings: Settings, folder: Path, report: TrackingReport) -> dict[str, str]:
    return {
        "fold": _name(settings, folder),
        "records sent": str(report.n_sent),
        "waiting": str(report.n_waiting),
        "run": report.url or report.run_id or "none",
    }


def _name(settings: Settings, folder: Path) -> str:
    results = settings.roots.results
    return str(folder.relative_to(results) if folder.is_relative_to(results) else folder)


def _json(report: SyncReport) -> dict[str, object]:
    folds = [
        {
            "folder": str(folder),
            "records_sent": fold.n_sent,
            "records_waiting": fold.n_waiting,
            "records_refused": fold.n_refused,
            "is_done": fold.is_done,
            "run_id": fold.run_id,
            "problem": report.problem_of(folder),
        }
        for folder, fold in report.folds.items()
    ]
    return {"problem": report.problem, "folds": folds}
