"""`list`: which experiments there are, their groups, and which folds of each are finished."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.results.record_options import opened_record, record_options
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.core.summary.cv_groups import CvGroup


@click.command("list")
@record_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_experiments(project: Path, as_json: bool, **record: Any) -> None:
    """List experiments, their groups and the finished folds of each.

    Every run is counted, however many there are. A fold whose run failed, was stopped or still runs is not finished.
    """
    with opened_record(project_settings(project), **record) as opened:
        experiments, place = opened.experiments(), opened.place
    if as_json:
        content = {name: [group.to_json() for group in groups] for name, groups in experiments.items()}
        click.echo(json.dumps({"place": place, "experiments": content}, indent=2, ensure_ascii=False))
    else:
        _print(experiments, place)


def _print(experiments: Mapping[str, Sequence["CvGroup"]], place: str) -> None:
    from rich.table import Table

    from nnunet_assets.cli.terminal import console
    from nnunet_assets.core.summary.fold_means import MEASURE_NAMES

    if not experiments:
        console().print(f"{place} has no fold of any experiment.")
        return
    table = Table("Experiment", "Group", "Finished folds", "Score", "Runs")
    for name, groups in experiments.items():
        for group in groups:
            runs = ", ".join(f"{n} {status}" for status, n in group.n_runs.items())
            score = MEASURE_NAMES[group.score] + ("" if group.is_native else " (nnunet-tracker)")
            table.add_row(name, group.name, ", ".join(group.finished_folds) or "none", score, runs)
    terminal = console()
    terminal.print(table)
    for remark in (group.remark for groups in experiments.values() for group in groups if group.remark):
        terminal.print(remark, markup=False)
