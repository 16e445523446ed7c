"""`sync`: sends to MLflow what a server that was down, or a run that was killed, left in the folds' journals."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from rich.table import Table

from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import console
from nnunet_assets.core.files.layout import SUMMARY_FOLDER
from nnunet_assets.core.fold.journal import journal_path, settled_records
from nnunet_assets.core.summary.cv_groups import group_name
from nnunet_assets.errors import TrackingError
from nnunet_assets.nnunet.results.adopted_places import adopted_places
from nnunet_assets.nnunet.results.results_folder import experiment_of
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.tracking.fold.fold_run import FoldRun, committed_scores
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport, known_report, send_waiting
from nnunet_assets.tracking.store.client import probe
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import EXPERIMENT

SUPERSEDED = "superseded"
"""Folder of the folds that were put aside for a new training: no summary is of them."""


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
    """Yields the folders of all folds that were ever tracked, the superseded ones and those adopted elsewhere too."""
    results = settings.roots.results
    for root in [results, *sorted((results / "variants").glob("*"))]:
        for model in sorted(root.glob("Dataset*/*__*__*")):
            folds = [*model.glob("fold_*"), *(model / SUMMARY_FOLDER / SUPERSEDED).glob("fold_*")]
            yield from (fold for fold in sorted(folds) if FoldRun.load(fold) is not None)
    for fold in adopted_places(settings.data):
        if FoldRun.load(fold) is not None and not fold.resolve().is_relative_to(results.resolve()):
            yield fold


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
    for folder in folders:
        _prepare_again(settings, folder)
    destination = Destination.of(settings)
    reports = {folder: known_report(destination, folder) for folder in folders}
    waiting = [folder for folder, report in reports.items() if not report.is_done]
    # Those that have sent everything too: a copy of a fold may have taken its run over since.
    others = [folder for folder in folders if folder not in waiting and folder.parent.name != SUPERSEDED]
    if not waiting and not others:
        return reports, None
    try:
        # Else a server that is down would be waited for at every fold.
        probe(destination)
    except TrackingError as error:
        return reports, str(error) if waiting else None
    for folder in [*waiting, *others]:
        left = until - time.monotonic()
        if left <= 0 and folder in others:
            break
        reports[folder] = send_waiting(destination, folder, timeout_seconds=max(0.0, left))
    return reports, None


def _prepare_again(settings: Settings, folder: Path) -> None:
    """Makes anew what is sent of a fold that was validated again since, or copied from another experiment."""
    known, scores = FoldRun.load(folder), committed_scores(folder)
    if known is None or scores is None:
        return
    experiment = experiment_of(folder.parent)
    is_copy = experiment is not None and known.tags.get(EXPERIMENT, group_name(experiment)) != group_name(experiment)
    is_of_others = known.made_of is not None and known.made_of != scores
    if is_copy or is_of_others or known.has_scores_to_tell(folder, settled_records(folder)):
        from nnunet_assets.assets.fold.adopted_folds import prepare_again

        prepare_again(settings, folder)


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
