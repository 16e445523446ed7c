"""`sync`: sends to MLflow what a server that was down, or a run that was killed, left in the folds' journals."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.table import Table

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import console
from nnunet_assets.core.journal import journal_path
from nnunet_assets.core.layout import SUMMARY_FOLDER
from nnunet_assets.errors import TrackingError
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.tracking.client import probe
from nnunet_assets.tracking.fold_run import FoldRun
from nnunet_assets.tracking.fold_tracker import TrackingReport, known_report, send_waiting

DONE, INCOMPLETE = 0, 2


@click.command()
@click.argument("folds", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@project_option
@click.option("--timeout", default=300.0, show_default=True, help="Seconds after which the rest is left waiting.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sync(folds: tuple[Path, ...], project: Path, timeout: float, as_json: bool) -> int:
    """Send to MLflow what waits of the folds in the folders FOLDS; without FOLDS, of every fold of the project.

    What MLflow has already is not sent again. Ends with 0 where MLflow has everything, with 2 where something still
    waits, and with 1 where a folder in FOLDS holds no fold that was tracked.
    """
    settings = project_settings(project)
    folders = [_checked(fold) for fold in folds] or list(tracked_folders(settings))
    reports, problem = _send(settings, folders, timeout)
    n_waiting = sum(not report.is_done for report in reports.values())
    if as_json:
        click.echo(json.dumps(_json(reports, problem), indent=2))
        return INCOMPLETE if n_waiting else DONE
    terminal = console()
    if reports:
        terminal.print(_table(settings, reports))
    if problem:
        terminal.print(problem)
    for folder, report in reports.items():
        if report.problem and not problem:
            terminal.print(f"{_name(settings, folder)}: {report.problem}")
    terminal.print(f"{n_waiting} of {len(reports)} folds wait." if n_waiting else "MLflow has every fold.")
    return INCOMPLETE if n_waiting else DONE


def tracked_folders(settings: Settings) -> Iterator[Path]:
    """Yields the folders of all folds that were ever tracked, the superseded ones included, in order."""
    results = settings.roots.results
    for root in [results, *sorted((results / "variants").glob("*"))]:
        for model in sorted(root.glob("Dataset*/*__*__*")):
            folds = [*model.glob("fold_*"), *(model / SUMMARY_FOLDER / "superseded").glob("fold_*")]
            yield from (fold for fold in sorted(folds) if FoldRun.load(fold) is not None)


def _checked(fold: Path) -> Path:
    if not journal_path(fold).is_file():
        raise TrackingError(
            f"{fold} is not the folder of a fold: it has no journal. Name a folder such as "
            f"nnUNet_results/DATASET/TRAINER__PLANS__CONFIGURATION/fold_0."
        )
    if FoldRun.load(fold) is None:
        raise TrackingError(f"{fold} was never tracked, so that it has nothing to send: train it with tracking on.")
    return fold.absolute()


def _send(settings: Settings, folders: Sequence[Path], timeout: float) -> tuple[dict[Path, TrackingReport], str | None]:
    """Returns fold to what MLflow has of it now, and what is wrong with MLflow; None: it answered."""
    until = time.monotonic() + timeout
    reports = {folder: known_report(settings.tracking_uri, folder) for folder in folders}
    waiting = [folder for folder, report in reports.items() if not report.is_done]
    if not waiting:
        return reports, None
    try:
        # Else a server that is down would be waited for at every fold.
        probe(settings.tracking_uri, settings.artifacts)
    except TrackingError as error:
        return reports, str(error)
    for folder in waiting:
        reports[folder] = send_waiting(
            settings.tracking_uri,
            settings.artifacts,
            folder,
            share_files=settings.share_files,
            preprocessed=settings.roots.preprocessed,
            timeout_seconds=max(0.0, until - time.monotonic()),
        )
    return reports, None


def _table(settings: Settings, reports: dict[Path, TrackingReport]) -> Table:
    table = Table("Fold", "Records sent", "waiting", "Run")
    for folder, report in reports.items():
        run = report.url or report.run_id or "none"
        table.add_row(_name(settings, folder), str(report.n_sent), str(report.n_waiting), run)
    return table


def _name(settings: Settings, folder: Path) -> str:
    results = settings.roots.results
    return str(folder.relative_to(results) if folder.is_relative_to(results) else folder)


def _json(reports: dict[Path, TrackingReport], problem: str | None) -> dict[str, object]:
    folds = [
        {
            "folder": str(folder),
            "records_sent": report.n_sent,
            "records_waiting": report.n_waiting,
            "records_refused": report.n_refused,
            "is_done": report.is_done,
            "run_id": report.run_id,
            "problem": problem if problem and not report.is_done else report.problem,
        }
        for folder, report in reports.items()
    ]
    return {"problem": problem, "folds": folds}
