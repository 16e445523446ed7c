"""`adopt`: folds that plain nnU-Net trained become folds of the project, in MLflow and in Dagster too."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.errors import FoldError, NnunetAssetsError
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.adoption.adoption import Adopted
    from nnunet_assets.settings import Settings
    from nnunet_assets.tracking.fold.fold_tracker import TrackingReport


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True))
@click.option("--tracker-disable", is_flag=True, help="Send nothing to MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@project_option
def adopt(folder: Path, *, tracker_disable: bool, as_json: bool, project: Path) -> int:
    """Take in the finished folds in FOLDER that plain nnU-Net trained.

    FOLDER is nnUNet_results, or the folder of a dataset, a model or a fold in it. What the files prove is recorded
    beside each fold in `.nnunet_assets`, and what they cannot prove (raw data, splits) as unknown; nothing else is
    written there. The curves go to MLflow, and Dagster records declared folds. An adopted fold is never trained again
    by itself.

    Ends with 0 where every such fold is adopted, with 2 where one could not be, and with 1 where none could.
    """
    settings = project_settings(project)
    adopted: list[Adopted] = []
    reports: dict[Path, TrackingReport] = {}
    problems: dict[Path, str] = {}
    for fold in foreign_folds(folder):
        found = _adopted(fold, settings, problems)
        if found is None:
            continue
        adopted.append(found)
        _remember(settings, found)
        if not tracker_disable:
            from nnunet_assets.assets.fold.adopted_folds import back_fill

            reports[fold] = back_fill(settings, found)
    recorded, remarks = _record(settings, adopted)
    rows = [_row(found, reports.get(found.folder), is_recorded=found.folder in recorded) for found in adopted]
    refused = {str(fold): problem for fold, problem in problems.items()}
    if as_json:
        click.echo(json.dumps({"folds": rows, "refused": refused, "remarks": remarks}, indent=2, ensure_ascii=False))
    else:
        _print(rows, [*refused.values(), *remarks])
    if problems:
        return INCOMPLETE if adopted else ERROR
    return DONE


def foreign_folds(folder: Path) -> list[Path]:
    """Returns the folds below a folder, or the folder itself, that this project did not train; in order.

    A model on every case is none: it has no Dice to summarize.

    Raises:
        FoldError: There is none.
    """
    from nnunet_assets.core.fold.fold import fold_state
    from nnunet_assets.core.summary.cv_groups import fold_order
    from nnunet_assets.nnunet.results.results_folder import models_in

    folds = [fold for model in models_in(folder) for fold in model.folder.glob("fold_*")]
    if folder.name.startswith("fold_"):
        folds = [folder]
    found = [
        fold for fold in folds if fold.name != "fold_all" and fold_state(fold) in ("foreign", "adopted", "changed")
    ]
    if not found:
        raise FoldError(
            f"{folder} holds no fold that something else trained ({len(folds)} folds looked at). Name nnUNet_results, "
            "or a dataset, a model (TRAINER__PLANS__CONFIGURATION) or a fold in it."
        )
    return sorted(found, key=lambda fold: (fold.parent, fold_order(fold.name)))


def _adopted(fold: Path, settings: "Settings", problems: dict[Path, str]) -> "Adopted | None":
    """Adopts a fold; None where it cannot be, of which the reason is noted."""
    from nnunet_assets.nnunet.adoption.adoption import adopt_fold

    try:
        return adopt_fold(fold, settings.trusted_code)
    except NnunetAssetsError as error:
        problems[fold] = str(error)
        return None


def _remember(settings: "Settings", found: "Adopted") -> None:
    """Has the project know of a fold that lies outside its results."""
    from nnunet_assets.assets.fold.adopted_folds import is_in_project
    from nnunet_assets.nnunet.results.adopted_places import remember_place

    if not is_in_project(settings, found):
        remember_place(settings.data, found.folder)


def _record(settings: "Settings", adopted: Sequence["Adopted"]) -> tuple[set[Path], list[str]]:
    """Has Dagster record what the project declares; returns which folds, and sentences about the others."""
    import dagster as dg

    from nnunet_assets.assets.asset_keys import fold_model_key
    from nnunet_assets.assets.fold.adopted_folds import is_in_project, materialization
    from nnunet_assets.assets.fold.recorded_folds import recorded_folds
    from nnunet_assets.declarations.project import EXPERIMENTS_FOLDER, read_project

    declared = set()
    if adopted and (settings.project / EXPERIMENTS_FOLDER).is_dir():
        declared = {config.identity for config in read_project(settings.project).experiments}
    remarks, wanted = [], []
    for found in adopted:
        if not is_in_project(settings, found):
            remarks.append(
                f"{found.folder} is not in {settings.roots.results}, where the project's assets look. Move or link its "
                "model there, or read it with --results."
            )
        elif found.experiment not in declared:
            remarks.append(
                f"{found.experiment.title} is not declared in {settings.project}, so Dagster does not show it."
            )
        else:
            wanted.append(found)
    if wanted and settings.dagster_home.is_dir():
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            known = {
                fold.folder: fold.data_version
                for key in {fold_model_key(found.experiment) for found in wanted}
                for fold in recorded_folds(instance, key)
            }
            for found in wanted:
                # The same again would have every summary made anew.
                if known.get(found.folder) != found.finished.sha256:
                    instance.report_runless_asset_event(materialization(found))
        return {found.folder for found in wanted}, list(dict.fromkeys(remarks))
    if wanted:
        remarks.append(
            f"Dagster has no instance in {settings.dagster_home} yet, so it has recorded no fold. Start it with "
            "`nnunet-assets dev` or `up`, then adopt again."
        )
    return set(), list(dict.fromkeys(remarks))


def _row(found: "Adopted", report: "TrackingReport | None", *, is_recorded: bool) -> dict[str, Any]:
    manifest = found.manifest
    return {
        "folder": str(found.folder),
        "experiment": found.experiment.title,
        "fold": manifest.fold,
        "status": "adopted" if found.is_new else "adopted before",
        "epochs": manifest.n_epochs,
        "cases": len(manifest.details["validation_cases"]),
        "ended": manifest.details["ended"],
        "unknown": manifest.details["unknown"],
        "mlflow_run": report.run_id if report else None,
        "mlflow_problem": report.problem if report else None,
        "recorded_by_dagster": is_recorded,
    }


def _print(rows: Sequence[dict[str, Any]], sentences: Sequence[str]) -> None:
    from rich.table import Table

    from nnunet_assets.cli.terminal import console

    terminal = console()
    if rows:
        table = Table("Experiment", "Fold", "Status", "Epochs", "Cases", "Ended", "MLflow run")
        for row in rows:
            run = row["mlflow_run"] or "none"
            shown = [
                row["experiment"],
                row["fold"],
                row["status"],
                str(row["epochs"]),
                str(row["cases"]),
                row["ended"],
                run,
            ]
            table.add_row(*shown)
        terminal.print(table)
        terminal.print(f"Not proved by the files, and so unknown: {', '.join(rows[0]['unknown'])}.")
    for sentence in dict.fromkeys([*sentences, *(row["mlflow_problem"] for row in rows if row["mlflow_problem"])]):
        terminal.print(sentence)
