"""`summarize`: what the finished folds of an experiment say together, and which are missing."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.results.record_options import found_summary, group_options
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.workflows.results.recorded_summaries import FoundSummary


@click.command()
@group_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--log-to-mlflow", is_flag=True, help="Also bring the summary's own MLflow run up to date.")
def summarize(*, project: Path, as_json: bool, log_to_mlflow: bool, **asked: Any) -> int:
    """Show what the finished folds of an experiment say together.

    The numbers are the same wherever they are read: in MLflow, in a results folder or in Dagster's record. Runs of
    nnunet-tracker hold pseudo Dice, and are shown as such. Below the labels stands a row a fold: its status, its means,
    the validation loss of its last epoch and its MLflow run. Ends with 0 where every expected fold is finished, with 2
    where one is missing or the record does not have its last result, and with 1 on an error.
    """
    settings = project_settings(project)
    found = found_summary(settings, **asked)
    run_id = None
    if log_to_mlflow:
        from nnunet_assets.workflows.results.recorded_summaries import log_cv_summary

        # A native one's run lies where its asset keeps it, wherever the folds were read.
        name = None if found.group.is_native else asked["name"]
        to = {"tracking_uri": asked["tracking_uri"], "experiment_name": name}
        run_id = log_cv_summary(found.summary, **to, settings=settings)
    if as_json:
        click.echo(json.dumps({**_json(found), "mlflow_run": run_id}, indent=2, ensure_ascii=False))
    else:
        _print(found, run_id)
    for sentence in found.behind:
        click.echo(sentence, err=True)
    return DONE if found.is_whole else INCOMPLETE


def _json(found: "FoundSummary") -> dict[str, Any]:
    from nnunet_assets.core.summary.fold_means import FoldMeansSummary

    group, summary = found.group, found.summary
    is_pseudo = isinstance(summary, FoldMeansSummary) and summary.is_pseudo
    return {
        "cv_group": group.name,
        "made_by": group.maker,
        "score": "pseudo_dice" if is_pseudo else "dice",
        "left_out_folds": group.left_out(summary.expected_folds),
        "aggregate_metrics": summary.compute_aggregate_metrics(),
        **summary.to_json(),
        "trainings": {fold.fold: asdict(fold.training) for fold in summary.folds},
        "behind": list(found.behind),
        "other_cv_groups": list(found.others),
    }


def _print(found: "FoundSummary", run_id: str | None) -> None:
    from nnunet_assets.cli.tables import print_table
    from nnunet_assets.cli.terminal import console
    from nnunet_assets.core.summary.scored_summary import ScoredSummary
    from nnunet_assets.reports.tables import fold_means_tables, fold_tables, summary_tables
    from nnunet_assets.reports.text.interval_notes import interval_notes
    from nnunet_assets.reports.text.summary_notes import coverage_notes

    summary = found.summary
    if isinstance(summary, ScoredSummary):
        shown = [summary_tables.to_short_records(summary), summary_tables.to_spread_records(summary)]
        remarks = [*coverage_notes(summary), *(interval_notes(summary.bootstrap) if summary.bootstrap else [])]
    else:
        shown, remarks = [fold_means_tables.to_short_records(summary)], [summary.reason]
    if found.left_out:
        remarks.append(found.left_out)
    if run_id:
        remarks.append(f"Logged to MLflow, run {run_id}.")
    terminal = console()
    terminal.print(found.choice or found.group.name)
    terminal.print(summary.headline())
    for rows in shown:
        print_table(terminal, rows, [column for column in ("label", "score") if column in rows[0]])
    print_table(terminal, fold_tables.to_short_records(summary), ["fold"])
    for remark in remarks:
        terminal.print(remark)
