"""`adopt`: folds that plain nnU-Net trained become folds of the project, in MLflow and in Dagster too."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR, INCOMPLETE
from nnunet_assets.cli.project_option import project_option_if_any
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.adoption.adoption import Adopted
    from nnunet_assets.workflows.fold.adopt import AdoptionReport


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True, resolve_path=True))
@click.option("--tracker-disable", is_flag=True, help="Send nothing to MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@project_option_if_any
def adopt(folder: Path, *, tracker_disable: bool, as_json: bool, project: Path) -> int:
    """Take in the finished folds in FOLDER that plain nnU-Net trained.

    FOLDER is nnUNet_results, or the folder of a dataset, a model or a fold in it. What the files prove is recorded
    beside each fold in `.nnunet_assets`, and what they cannot prove (raw data, splits) as unknown; nothing else is
    written there. The curves go to MLflow, and Dagster records declared folds. An adopted fold is never trained again
    by itself.

    Ends with 0 where every such fold is adopted, with 2 where one could not be, and with 1 where none could.
    """
    # Numpy comes with them.
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.adopt import adopt as adopt_folds

    settings = project_settings(project)
    report = adopt_folds(settings, folder, None if tracker_disable else Destination.of(settings))
    if report.to_record:
        # Nobody else needs Dagster, which takes a second to load.
        from nnunet_assets.assets.fold.adopted_folds import record_adopted

        record_adopted(settings, report.to_record)
    rows = [_row(found, report) for found in report.folds]
    refused = {str(fold): problem for fold, problem in report.refused.items()}
    if as_json:
        result = {"folds": rows, "refused": refused, "remarks": report.remarks}
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _print(rows, [*refused.values(), *report.remarks])
    if refused:
        return INCOMPLETE if rows else ERROR
    return DONE


def _row(found: "Adopted", report: "AdoptionReport") -> dict[str, Any]:
    manifest, tracking = found.manifest, report.tracking.get(found.folder)
    return {
        "folder": str(found.folder),
        "experiment": found.experiment.title,
        "fold": manifest.fold,
        "status": "adopted" if found.is_new else "adopted before",
        "epochs": manifest.n_epochs,
        "cases": len(manifest.details["validation_cases"]),
        "ended": manifest.details["ended"],
        "unknown": manifest.details["unknown"],
        "mlflow_run": tracking.run_id if tracking else None,
        "mlflow_problem": tracking.problem if tracking else None,
        "recorded_by_dagster": found in report.to_record,
    }


def _print(rows: Sequence[dict[str, Any]], sentences: Sequence[str]) -> None:
    from nnunet_assets.cli.tables import print_table
    from nnunet_assets.cli.terminal import console

    terminal = console()
    if rows:
        columns = ("experiment", "fold", "status", "epochs", "cases", "ended")
        shown = [
            {**{column: str(row[column]) for column in columns}, "MLflow run": row["mlflow_run"] or "none"}
            for row in rows
        ]
        print_table(terminal, shown, ["experiment"])
        terminal.print(f"Not proved by the files, and so unknown: {', '.join(rows[0]['unknown'])}.")
    for sentence in dict.fromkeys([*sentences, *(row["mlflow_problem"] for row in rows if row["mlflow_problem"])]):
        terminal.print(sentence)
