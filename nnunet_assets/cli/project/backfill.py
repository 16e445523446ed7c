"""`backfill`: folds of a declared experiment, trained by the project's daemon and followed in this terminal.

The terminal only looks on: what it began goes on without it, and the same command finds it again.
"""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, ERROR, INCOMPLETE, INTERRUPTED
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.declarations.named_experiment import experiment_named, folds_named
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.errors import FoldError
from nnunet_assets.settings import Settings, project_settings

if TYPE_CHECKING:
    from nnunet_assets.assets.fold.fold_backfill import FoldBackfills, Ongoing
    from nnunet_assets.cli.project.backfill_view import FoldLine
    from nnunet_assets.declarations.config import ExperimentConfig

LOOK_SECONDS = 2.0


@click.command()
@click.argument("experiment", nargs=-1, shell_complete=completions.experiments)
@click.option("--folds", metavar="0,1,2", help="Which folds.  [default: all that the experiment declares]")
@click.option("--retrain", is_flag=True, help="Train anew where the fold is there already; the old one is kept.")
@click.option("--detach", is_flag=True, help="Begin, and do not wait.")
@click.option("--cancel", is_flag=True, help="End what runs of these folds; their checkpoints stay.")
@project_option
def backfill(
    experiment: Sequence[str], folds: str | None, *, retrain: bool, detach: bool, cancel: bool, project: Path
) -> int:
    """Train folds of a declared experiment by the project's daemon, and follow them.

    EXPERIMENT is what tells it from the others: its title as `check-config` shows it, or some of its words, such as
    `4 2d short`; nothing where only one is declared. Data that is not prepared yet is prepared first. A run
    that is killed starts once more, and its fold goes on from its last checkpoint.

    A finished fold is not trained again unless --retrain is given, which keeps the old one.

    Ctrl-C leaves the folds running. The same command, without --retrain, finds them again, and never starts a fold
    twice.

    Ends with 0 where every fold is finished, with 1 where one failed, with 2 where one was canceled, and with 130
    after Ctrl-C.
    """
    if retrain and cancel:
        raise click.UsageError("--retrain begins folds and --cancel ends them: give one of the two.")
    settings = project_settings(project)
    declared = read_project(settings.project)
    config = experiment_named(experiment, declared)
    named = folds_named(folds, config, declared)
    again = shlex.join(["nnunet-assets", "backfill", *experiment, *(["--folds", folds] if folds else [])])

    from nnunet_assets.assets.fold.fold_backfill import FoldBackfills
    from nnunet_assets.jobs import experiment_job_names
    from nnunet_assets.project_folder.dagster_home import ensure_instance
    from nnunet_assets.project_folder.opened_instance import open_instance

    ensure_instance(settings.project)
    with open_instance(settings.project) as instance:
        backfills = FoldBackfills(instance, config.identity, experiment_job_names(config)[0])
        if cancel:
            return _cancel(backfills, named, config.identity.title)
        _ensure_daemon(settings, again)
        if not instance.run_retries_enabled:
            home = settings.dagster_home
            click.echo(f"{home / 'dagster.yaml'} has no run_retries: what is killed is not started again.", err=True)
        asked = _begin(settings, declared, config, named, backfills, retrain=retrain)
        if detach:
            click.echo(f"Follow them: {again}")
            return DONE
        try:
            return _follow(settings, config, backfills, asked)
        except KeyboardInterrupt:
            click.echo(f"Left; the folds go on. Follow them: {again}. End them: {again} --cancel")
            return INTERRUPTED


def _cancel(backfills: "FoldBackfills", folds: Sequence[str], title: str) -> int:
    ongoing = backfills.ongoing(folds)
    ids = {one.backfill_id for one in ongoing.values() if one.backfill_id}
    ended = [fold for backfill_id in sorted(ids) for fold in backfills.cancel(backfill_id)]
    alone = [fold for fold, one in ongoing.items() if not one.backfill_id]
    if ended:
        click.echo(f"The daemon ends {', '.join(ended)} of {title}, within half a minute; their checkpoints stay.")
    for fold in alone:
        click.echo(f"{fold} runs by itself, in no backfill: terminate its run in the web UI.", err=True)
    if not ongoing:
        click.echo(f"Nothing runs of {', '.join(folds)} of {title}.")
    return ERROR if alone else DONE


def _ensure_daemon(settings: Settings, again: str) -> None:
    """Passes where a daemon works on the instance, or the user has one started.

    Raises:
        FoldError: None does.
    """
    from nnunet_assets.project_folder.running_daemons import gives_signs

    if gives_signs(settings.project):
        return
    start = f"nnunet-assets up {shlex.quote(str(settings.project))}"
    missing = f"No Dagster daemon works for {settings.project}, and without one nothing starts."
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise FoldError(f"{missing} Start it, then type the command again: {start} && {again}")
    if not click.confirm(f"{missing} Start it in the background now, as `{start}` does?", default=True):
        raise FoldError(f"Nothing was begun. To begin: {start} && {again}")
    from nnunet_assets.cli.project.servers import start_in_background

    start_in_background(settings)


def _begin(
    settings: Settings,
    project: Project,
    config: "ExperimentConfig",
    folds: Sequence[str],
    backfills: "FoldBackfills",
    *,
    retrain: bool,
) -> "Mapping[str, Ongoing]":
    """Begins what is not at work yet, and says what is; of two commands at the same moment only one does.

    Raises:
        FoldError: The split has no such fold; what a fold continues is not finished; or a fold that is to be trained
            anew is at work.
    """
    from nnunet_assets.core.files.kernel_lock import kernel_lock
    from nnunet_assets.jobs import preparation_keys
    from nnunet_assets.workflows.dataset.prepare import readiness
    from nnunet_assets.workflows.fold.start import refuse_missing_fold, refuse_unfinished_parent

    with kernel_lock(settings.dagster_home / "backfill.lock"):
        ongoing = backfills.ongoing(folds)
        if ongoing and retrain:
            raise FoldError(
                f"{', '.join(ongoing)} of {config.identity.title} is at work already, and nothing was begun. Wait for "
                "it (the same command without --retrain follows it) or end it with --cancel, then train anew."
            )
        new = [fold for fold in folds if fold not in ongoing]
        for fold in new:
            refuse_missing_fold(settings, project, config, fold)
            refuse_unfinished_parent(settings, config, fold)
        there = readiness(settings, config)
        before = [] if there.dataset and there.is_split else preparation_keys(project, config.dataset)
        begun = backfills.begin(new, before, retrain=retrain) if new else None
    if ongoing:
        click.echo(f"At work already: {', '.join(ongoing)} of {config.identity.title}.")
    if begun:
        first = "the data is prepared first, then " if before else ""
        click.echo(f"Begun: {first}{', '.join(new)} of {config.identity.title}.")
    return {fold: ongoing.get(fold) or begun for fold in folds}  # type: ignore[misc]  # those not at work are begun


def _follow(
    settings: Settings, config: "ExperimentConfig", backfills: "FoldBackfills", asked: "Mapping[str, Ongoing]"
) -> int:
    """Shows how far the folds are until the last one has ended, and returns the exit code."""
    from nnunet_assets.cli.project.backfill_view import FoldLines, shown_lines
    from nnunet_assets.project_folder.running_daemons import gives_signs

    lines = FoldLines(settings.roots, config.identity, backfills)
    with shown_lines() as view:
        while True:
            now = lines.look(asked)
            view.show(now)
            if all(line.outcome for line in now):
                break
            view.warn_once("" if gives_signs(settings.project) else _without_daemon(settings))
            time.sleep(LOOK_SECONDS)
    return _exit_code(now)


def _without_daemon(settings: Settings) -> str:
    start = f"nnunet-assets up {shlex.quote(str(settings.project))}"
    return f"No Dagster daemon works any more: what trains goes on, and nothing else starts. Start it: {start}"


def _exit_code(lines: "Sequence[FoldLine]") -> int:
    outcomes = {line.outcome for line in lines}
    if "failed" in outcomes:
        return ERROR
    return INCOMPLETE if "canceled" in outcomes else DONE
