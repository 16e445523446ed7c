"""A project that was moved, or copied: its `.env`, and its store of MLflow's, name the folder where it was.

Dagster takes absolute paths only, and lets a `.env` win over what it is started with: a copy would work on the folders
of the original, and a project that was moved on none. MLflow keeps the place of each run's files.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.variables import PROJECT_VARIABLE
from nnunet_assets.project_folder.env_file import dotenv_quoted
from nnunet_assets.settings import ENV_FILE, Settings, is_project

HOME_VARIABLE = "DAGSTER_HOME"

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""By table and column, where MLflow says where files lie."""


def place_before(project: Path) -> Path | None:
    """Returns the folder that the `.env` in a project names as the project; None: this one, or none."""
    named = dotenv_values(project / ENV_FILE).get(PROJECT_VARIABLE)
    return None if not named or Path(named).resolve() == project.resolve() else Path(named)


def refuse_other_place(root: Path) -> None:
    """Sees that a project is not loaded for a copy of it, in which Dagster was started.

    Args:
        root: The project that is about to be loaded.

    Raises:
        ConfigError: The `.env` of the current folder, a project itself, names it.
    """
    here = Path.cwd()
    if is_project(here) and (before := place_before(here)) and before.resolve() == root.resolve():
        raise ConfigError(
            f"{here} was moved or copied from {root}, which its {ENV_FILE} still names: Dagster would work there. "
            f"`nnunet-assets dev` and `up` correct that, or write {here} there yourself, twice."
        )


def settle(settings: Settings) -> str | None:
    """Has the `.env` and the store of a project that was moved or copied name its folder; returns a sentence then.

    Raises:
        ConfigError: The `.env` names another folder for Dagster than the one that `init` wrote.
    """
    project, file = settings.project, settings.project / ENV_FILE
    home, before = dotenv_values(file).get(HOME_VARIABLE), place_before(project)
    known = {settings.dagster_home, *([] if before is None else [before / settings.dagster_home.name])}
    if home and Path(home) not in known and Path(home).resolve() != settings.dagster_home:
        raise ConfigError(
            f"{file} sets {HOME_VARIABLE} to {home}, and Dagster would keep this project's runs there. They "
            f"are kept in {settings.dagster_home}: remove the line, or write that."
        )
    if before is None:
        return None
    _write(file, {PROJECT_VARIABLE: project, **({HOME_VARIABLE: settings.dagster_home} if home else {})})
    if (store := settings.data / "mlflow.db").is_file():
        _move_artifacts(store, before / settings.artifacts.relative_to(project), settings.artifacts)
    return f"This project was moved or copied from {before}; {file.name} names {project} now."


def _write(file: Path, values: dict[str, Path]) -> None:
    with file.open(encoding="utf-8") as stream:
        bindings = list(parse_stream(stream))
    lines = [
        f"{binding.key}={dotenv_quoted(values[binding.key])}\n" if binding.key in values else binding.original.string
        for binding in bindings
    ]
    write_atomically(file, "".join(lines).encode(), is_private=True)


def _move_artifacts(store: Path, before: Path, after: Path) -> None:
    """Has a store name files below another folder, as URIs or as paths, as they are there; others stay."""
    with closing(sqlite3.connect(store)) as database, database:
        there = {
            (table, column[1]) for table, _ in _PLACES for column in database.execute(f"PRAGMA table_info({table})")
        }
        for table, column in _PLACES:
            for old, new in ((before.as_uri(), after.as_uri()), (str(before), str(after))):
                if (table, column) in there:
                    database.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 (names of ours)
                        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )
