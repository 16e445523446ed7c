"""`accept`: the summary of an experiment becomes the baseline that its later summaries are compared with."""

import json
from pathlib import Path
from typing import Any

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.core.summary.baseline import Baseline
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import first_offenders
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.results.accept import AcceptedSummary, accept_summary


@click.command()
@click.argument("experiment", shell_complete=completions.experiments)
@click.option("--incomplete", is_flag=True, help="Accept it though folds are missing: only those it has are compared.")
@click.option("--note", default="", help="Why; kept with the baseline.")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def accept(experiment: str, *, incomplete: bool, note: str, project: Path, as_json: bool) -> int:
    """Accept the summary of EXPERIMENT as its baseline, in place of the one before.

    EXPERIMENT is a declared one: DATASET/TRAINER__PLANS__CONFIGURATION, a variant after the dataset. A summary that is
    missing, or older than one of the folds, is made first. The check `dice_is_not_below_baseline` of later summaries
    compares with what was accepted. Ends with 0, with 2 where a fold is missing and nothing was accepted, and with 1 on
    an error.
    """
    settings = project_settings(project)
    declared = read_project(settings.project)
    config = declared.experiment(experiment)
    with TerminalProgress(to_stderr=True) as progress:
        accepted = accept_summary(
            settings.roots,
            config.identity,
            declared.folds_of(config),
            incomplete=incomplete,
            note=note,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(_json(accepted), indent=2, ensure_ascii=False))
    if accepted.baseline is None:
        click.echo(
            f"Nothing was accepted: {first_offenders(accepted.missing_folds)} is missing in the summary. Train what is "
            "missing; or, to compare only the folds that are there, accept it with --incomplete.",
            err=True,
        )
        return INCOMPLETE
    if not as_json:
        _print(accepted, accepted.baseline)
    return DONE


def _json(accepted: AcceptedSummary) -> dict[str, Any]:
    baseline = accepted.baseline
    return {
        "accepted": baseline is not None,
        "file": str(accepted.file),
        "missing_folds": list(accepted.missing_folds),
        "baseline": baseline.to_json() if baseline else None,
    }


def _print(accepted: AcceptedSummary, baseline: Baseline) -> None:
    terminal = console()
    terminal.print(accepted.summary.headline())
    rows = [
        {
            "label": score.name,
            "Dice, pooled": fixed(score.baseline, 4),
            "later ones not lower than": fixed(score.limit, 4),
        }
        for score in baseline.scores(accepted.summary)
    ]
    print_table(terminal, rows, ["label"])
    by, n_cases = baseline.accepted_by, baseline.n_cases
    terminal.print(f"Accepted by {by} as the baseline, of {n_cases} cases: {accepted.file}")
