"""`ensemble`: the mean of the probabilities of several experiments, scored like one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.declarations.fields import Device
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.model.ensemble import make_named_ensemble


@click.command()
@click.argument("dataset", shell_complete=completions.datasets)
@click.argument("members", metavar="[MEMBER]...", nargs=-1, shell_complete=completions.experiments)
@click.option("--name", help="What it is called; without members, the declared ensemble that is meant.")
@click.option("--device", type=click.Choice(get_args(Device)), default=None, help="Where the members predict.")
@click.option("--keep-probabilities", is_flag=True, help="Leave the members' probabilities on the disk.")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ensemble(  # noqa: PLR0917 (click's)
    dataset: str,
    members: Sequence[str],
    name: str | None,
    device: str | None,
    keep_probabilities: bool,
    project: Path,
    as_json: bool,
) -> int:
    """Average the probabilities of two or more experiments of DATASET, and score the masks.

    A MEMBER is a declared experiment, in as many of its words as tell it from the others: 2d, "short 2d". Each member
    predicts the validation cases of its folds again, with the checkpoint by which they were validated; nothing of a
    fold changes, and the probabilities are removed afterwards. Folds that are made already, of members that did not
    change, are not made again. Ends with 0, and with 2 where folds are missing.
    """
    settings = project_settings(project)
    with TerminalProgress(to_stderr=True) as progress:
        made = make_named_ensemble(
            settings, dataset, members, name, progress, device=device, keeps_probabilities=keep_probabilities or None
        )
    code = DONE if made.summary.is_complete else INCOMPLETE
    if as_json:
        click.echo(json.dumps(made.to_json(), indent=2, allow_nan=False))
        return code
    from nnunet_assets.reports.tables.summary_tables import to_short_records

    terminal = console()
    terminal.print(f"{made.ensemble.title}: {made.headline()}")
    terminal.print(f"Members: {', '.join(member.name_in_dataset for member in made.members)}.")
    print_table(terminal, to_short_records(made.summary), ["label"])
    terminal.print(f"Masks and scores: {made.folder}")
    return code
