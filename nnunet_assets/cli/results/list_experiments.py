"""`list`: which experiments there are, their groups, and which folds of each are finished."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.results.record_options import opened_record, record_options
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.errors import ConfigError, NotMadeYetError, first_offenders
from nnunet_assets.settings import project_settings

if TYPE_CHECKING:
    from nnunet_assets.core.summary.cv_groups import CvGroup


@click.command("list")
@record_options
@click.option(
    "--max-experiments", type=click.IntRange(min=1), metavar="N", help="Show no more than so many.  [default: all]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_experiments(project: Path, max_experiments: int | None, as_json: bool, **record: Any) -> None:
    """List experiments, their groups and the finished folds of each.

    Every run is counted, however many there are. A fold whose run failed, was stopped or still runs is not finished.
    What the project declares and the record does not know yet stands below the others.
    """
    settings = project_settings(project)
    declared = _declared(settings.project)
    experiments: Mapping[str, Sequence[CvGroup]] = {}
    nothing = ""
    try:
        with opened_record(settings, **record) as opened:
            experiments, place = opened.experiments(), opened.place
    except NotMadeYetError:
        if any(record.values()):  # what is named is to be there
            raise
        place = redacted(settings.tracking_uri)
        nothing = f"Nothing was tracked so far: {place} is not there yet."
    known = {group.name for groups in experiments.values() for group in groups}
    left_out = list(experiments)[max_experiments:] if max_experiments else []
    experiments = {name: groups for name, groups in experiments.items() if name not in left_out}
    waiting = [name for name in declared if name not in known]
    if as_json:
        content = {name: [group.to_json() for group in groups] for name, groups in experiments.items()}
        shown = {"place": place, "experiments": content, "declared_only": waiting}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        _print(experiments, nothing or f"{place} has no fold of any experiment.")
        if waiting:
            click.echo("\n".join(["Declared, without a run so far:", *(f"  {name}" for name in waiting)]))
    if left_out:
        click.echo(f"Left out by --max-experiments: {first_offenders(left_out)}.", err=True)


def _declared(project: Path) -> list[str]:
    """Returns the declared experiments, named as groups are; a record is shown beside wrong declarations too."""
    try:
        return ["/".join(config.identity.key_prefix) for config in declared_if_any(project).experiments]
    except ConfigError as error:
        click.echo(f"{str(error).splitlines()[0]} See `nnunet-assets check-config`.", err=True)
        return []


def _print(experiments: Mapping[str, Sequence["CvGroup"]], nothing: str) -> None:
    from nnunet_assets.cli.tables import print_table
    from nnunet_assets.cli.terminal import console
    from nnunet_assets.reports.text.experiment_names import short_names

    terminal = console()
    if not experiments:
        terminal.print(nothing)
    for name, groups in experiments.items():
        # As --cv-group takes them, too.
        within = [group.name.removeprefix(f"{name}/") for group in groups]
        short, in_common = short_names(within)
        rows = [{"group": short[text], **_said(group)} for text, group in zip(within, groups, strict=True)]
        print_table(terminal, rows, ["group"], f"{name}{f', in all: {in_common}' if in_common else ''}")
    for remark in (group.remark for groups in experiments.values() for group in groups if group.remark):
        terminal.print(remark)


def _said(group: "CvGroup") -> dict[str, str]:
    from nnunet_assets.core.summary.fold_means import MEASURE_NAMES

    return {
        "finished folds": ", ".join(fold.removeprefix("fold_") for fold in group.finished_folds) or "none",
        "score": MEASURE_NAMES[group.score] + ("" if group.is_native else " (nnunet-tracker)"),
        "runs": ", ".join(f"{n} {status}" for status, n in group.n_runs.items()),
    }
