"""The option `--project` of every command that works in a project folder, and what is said where there is none."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from nnunet_assets.core.files.layout import EXPERIMENTS_FOLDER
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.variables import FOLDERS, PROJECT_VARIABLE
from nnunet_assets.settings import is_project, project_around, project_variables


def _option(callback: Callable[[click.Context, click.Parameter, Path | None], Path]) -> Callable[..., Any]:
    return click.option(
        "--project",
        envvar=PROJECT_VARIABLE,
        type=click.Path(path_type=Path, file_okay=False),
        callback=callback,
        # Before anything else is found to be missing or wrong.
        is_eager=True,
        help="Project folder, whose experiments, settings and nnU-Net folders are meant. "
        f"Default: {PROJECT_VARIABLE}, else the current folder or the nearest one above it that is a project.",
    )


def _project(context: click.Context, option: click.Parameter, given: Path | None) -> Path:
    folder = _folder(given)
    if is_project(folder) or context.resilient_parsing:
        return folder
    if not project_variables(folder.resolve()).get(FOLDERS[0]):
        raise ConfigError(_nowhere(context, option, folder))
    _say_where_things_lie(folder, "nnU-Net's folders are those of its three variables")
    return folder


def _project_if_any(context: click.Context, option: click.Parameter, given: Path | None) -> Path:
    folder = _folder(given)
    if not is_project(folder) and not context.resilient_parsing:
        _say_where_things_lie(folder, "only what the command line and the environment name is known")
    return folder


project_option = _option(_project)
"""Ends a command outside a project, unless nnU-Net's three variables say where the data is."""

project_option_if_any = _option(_project_if_any)
"""For commands that also read what lies elsewhere: outside a project they say so, and go on."""


def _folder(given: Path | None) -> Path:
    return given or project_around(Path.cwd()) or Path.cwd()


def _nowhere(context: click.Context, option: click.Parameter, folder: Path) -> str:
    source = context.get_parameter_source(str(option.name))
    named = {
        ParameterSource.ENVIRONMENT: f" ({PROJECT_VARIABLE})",
        ParameterSource.COMMANDLINE: " (--project)" if option.name == "project" else "",
    }
    there = folder.resolve()
    what = "is not a project: it" if there.exists() else "is not there, so it is no project. It"
    above = "" if source in named else ", and no folder above it is one"
    return (
        f"{there}{named.get(source, '') if source else ''} {what} has no folder '{EXPERIMENTS_FOLDER}'{above}. Go into "
        "a project or name one with --project, or make one with `nnunet-assets init`."
    )


def _say_where_things_lie(folder: Path, what_counts: str) -> None:
    click.echo(f"{folder.resolve()} is not a project (no folder '{EXPERIMENTS_FOLDER}'): {what_counts}.", err=True)


def folder_or_project(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an argument FOLDER beside the option, which it outdoes; the command takes the project as `folder`."""

    @wraps(command)
    def called(folder: Path | None, project: Path | None, **given: Any) -> Any:
        chosen, context = _folder(folder or project), click.get_current_context()
        if is_project(chosen):
            return command(folder=chosen, **given)
        named = "folder" if folder else "project"
        raise ConfigError(_nowhere(context, next(one for one in context.command.params if one.name == named), chosen))

    option = click.option(
        "--project",
        envvar=PROJECT_VARIABLE,
        type=click.Path(path_type=Path, file_okay=False),
        help="The same as FOLDER, as in other commands.",
    )
    return click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))(option(called))
