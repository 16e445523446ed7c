"""`accept`: the summary of an experiment becomes the baseline that its later summaries are compared with."""

import json
import os
import pwd
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import first_offenders
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.core.summary.baseline import Baseline, Score

DONE, INCOMPLETE = 0, 2


@click.command()
@click.argument("experiment")
@click.option("--incomplete", is_flag=True, help="Accept it though folds are missing: only those it has are compared.")
@click.option("--note", default="", help="Why; kept with the baseline.")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def accept(experiment: str, *, incomplete: bool, note: str, project: Path, as_json: bool) -> int:
    """Accept the summary of EXPERIMENT as its baseline, in place of the one before.

    EXPERIMENT is a declared one: DATASET/TRAINER__PLANS__CONFIGURATION, a variant after the dataset. The check
    `dice_is_not_below_baseline` of its later summaries compares with what was accepted. Ends with 0, with 2 where a
    fold is missing and nothing was accepted, and with 1 on an error.
    """
    from nnunet_assets.core.summary.baseline import Baseline, baseline_path
    from nnunet_assets.core.summary.summary_files import read_current_summary

    settings = project_settings(project)
    declared = read_project(settings.project)
    config = declared.experiment(experiment)
    summary = read_current_summary(settings.roots, config.identity)
    wanted = dict.fromkeys([*summary.expected_folds, *declared.folds_of(config)])
    missing = [fold for fold in wanted if fold not in summary.completed_folds]
    path = baseline_path(settings.roots, config.identity)
    if missing and not incomplete:
        _refuse(missing, path, as_json=as_json)
        return INCOMPLETE
    baseline = Baseline.of(
        summary, accepted_at=datetime.now(UTC).isoformat(timespec="seconds"), accepted_by=_user(), note=note
    )
    write_json_atomically(path, baseline.to_json())
    if as_json:
        content = {"accepted": True, "file": str(path), "missing_folds": missing, "baseline": baseline.to_json()}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(baseline, baseline.scores(summary), summary.headline(), path)
    return DONE


def _user() -> str:
    """Returns whose process this is, not whom the environment names; in a container the user may have no name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def _refuse(missing: Sequence[str], path: Path, *, as_json: bool) -> None:
    if as_json:
        content = {"accepted": False, "file": str(path), "missing_folds": list(missing), "baseline": None}
        click.echo(json.dumps(content, indent=2))
    click.echo(
        f"Nothing was accepted: {first_offenders(missing)} is missing in the summary. Train what is missing and "
        "materialize cv_summary; or, to compare only the folds that are there, accept it with --incomplete.",
        err=True,
    )


def _print(baseline: "Baseline", scores: Sequence["Score"], headline: str, path: Path) -> None:
    from rich.table import Table

    from nnunet_assets.cli.terminal import console
    from nnunet_assets.core.text.numbers import fixed

    table = Table("Label", "Dice, pooled", "Later ones not lower than")
    for score in scores:
        table.add_row(score.name, fixed(score.baseline, 4), fixed(score.limit, 4))
    terminal = console()
    terminal.print(headline)
    terminal.print(table)
    terminal.print(f"Accepted by {baseline.accepted_by} as the baseline, of {baseline.n_cases} cases: {path}")
