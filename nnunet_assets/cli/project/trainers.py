"""`trainers`: the trainer classes that an experiment may name, with what each sets; and a new one to begin with."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.exit_codes import DONE
from nnunet_assets.cli.project_option import project_option

if TYPE_CHECKING:
    from nnunet_assets.nnunet.trainer.trainer_sources import FoundTrainers


@click.command()
@click.argument("names", nargs=-1)
@click.option("--new", metavar="NAME", help="Write a trainer class of this name into the project, to begin with.")
@project_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def trainers(names: tuple[str, ...], *, new: str | None, project: Path, as_json: bool) -> int:
    """List the trainers that an experiment may name, or those whose names hold one of NAMES.

    Those of nnU-Net, of the folders that nnUNet_extTrainer names, of the project's folder `trainers`, and those that
    come with this package. The last column has what a trainer sets otherwise than nnU-Net's own, as far as its source
    says it plainly; `hyperparameters` of a variant set it otherwise again.
    """
    from nnunet_assets.nnunet.trainer.trainer_sources import found_trainers
    from nnunet_assets.settings import project_settings
    from nnunet_assets.workflows.fold.new_trainer import write_new_trainer

    settings = project_settings(project)
    if new is not None:
        file = write_new_trainer(settings, new)
        click.echo(f"{file} has a trainer {new}. Experiments name it as `trainer: {new}`.")
        return DONE
    found = found_trainers(settings.child_environment())
    wanted = [name for name in found.trainers if not names or any(part.lower() in name.lower() for part in names)]
    if as_json:
        click.echo(json.dumps([_json(found, name) for name in wanted], indent=2, ensure_ascii=False))
    else:
        _print(found, wanted)
    for file, why in found.unread.items():
        click.echo(f"{file} cannot be read as Python, and nnU-Net would fail in it: {why}.", err=True)
    for name in wanted:
        if problem := found.trainers[name].problem:
            click.echo(problem, err=True)
    return DONE


def _json(found: "FoundTrainers", name: str) -> dict[str, Any]:
    source = found.classes[name]
    return {
        "trainer": name,
        "file": str(source.file),
        "line": source.line,
        "derives_from": found.lineage(name)[1:],
        "sets": found.settings(name),
        "summary": source.summary,
        "problem": source.problem,
    }


def _print(found: "FoundTrainers", names: list[str]) -> None:
    from nnunet_assets.cli.tables import print_table
    from nnunet_assets.cli.terminal import console

    terminal = console()
    by_folder: dict[Path, list[str]] = {}
    for name in names:
        by_folder.setdefault(found.classes[name].folder, []).append(name)
    for folder, there in by_folder.items():
        rows = [{"trainer": name, "sets": _settings_text(found.settings(name))} for name in sorted(there)]
        print_table(terminal, rows, ["trainer"], str(folder))
    if not names:
        terminal.print("No trainer is called so.")


def _settings_text(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in settings.items()) or "-"
