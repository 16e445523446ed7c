"""Dagster's instance of a project, opened in this process; what keeps it from that is said in a sentence."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from nnunet_assets.core.files.regular_file import refuse_what_never_ends
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import ConfigError, first_offenders
from nnunet_assets.project_folder.postgres_instance import instance_database, look_at_instance, referred_variables
from nnunet_assets.project_folder.postgres_server import DatabaseError, unusable
from nnunet_assets.settings import dagster_home, in_environment, project_variables

if TYPE_CHECKING:
    from dagster import DagsterInstance


@contextmanager
def open_instance(project: Path) -> "Iterator[DagsterInstance]":
    """Opens the instance of a project that has one, in this process.

    Raises:
        ConfigError: Its settings or its databases cannot be read; Dagster lets through what YAML, SQLite and psycopg2
            raise.
    """
    home = dagster_home(project)
    try:
        with suppress(FileNotFoundError):
            refuse_what_never_ends(home / "dagster.yaml")
    except OSError as error:
        raise _unopened(home, error) from error
    variables = project_variables(home.parent)
    database = instance_database(home / "dagster.yaml", variables)
    if database:
        # Dagster tries for a quarter of a minute to reach a server that is down.
        look_at_instance(database)
    referred = referred_variables(home / "dagster.yaml")
    with in_environment({name: variables[name] for name in referred if name in variables}):
        instance = _opened(home)
        try:
            with instance:
                yield instance
        except Exception as error:
            if isinstance(error.__cause__, sqlite3.Error):
                raise _of_databases(home, error.__cause__) from error
            if database and (said := _said_by_server(error)):
                raise DatabaseError(unusable(said, database.url, database.name)) from error
            raise


def _opened(home: Path) -> "DagsterInstance":
    from dagster import DagsterInstance

    try:
        return DagsterInstance.from_config(str(home))
    except Exception as error:
        if isinstance(error.__cause__, sqlite3.Error):
            raise _of_databases(home, error.__cause__) from error
        raise _unopened(home, error) from error


def _unopened(home: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"Dagster's instance in {home} cannot be opened: {_one_line(error)}. Correct {home / 'dagster.yaml'}, or "
        "move it away: it is written anew."
    )


def _said_by_server(error: BaseException) -> str | None:
    """Returns what psycopg2 said, where it is the origin of an error."""
    link: BaseException | None = error
    while link is not None:
        if type(link).__module__.partition(".")[0] == "psycopg2":
            return str(link)
        link = link.__cause__ or link.__context__
    return None


def _of_databases(home: Path, error: sqlite3.Error) -> ConfigError:
    named = first_offenders([path for path in sorted(home.rglob("*.db")) if _is_damaged(path)])
    problem = f"{_one_line(error)}: {named}" if named else _one_line(error)
    return ConfigError(
        f"Dagster's instance in {home} cannot be used: {problem}. Put a backup in its place, "
        "or move the folder away: then what Dagster recorded of runs and materializations is gone, and the folds stay."
    )


def _is_damaged(database: Path) -> bool:
    if not database.is_file():
        return True
    try:
        # Not `mode=ro`, to which what a kill left half written looks damaged: SQLite takes it back, and writes for it.
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True)) as opened:
            return bool(opened.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.Error:
        return True


def _one_line(error: BaseException) -> str:
    text = redacted(" ".join(str(error).split())) or type(error).__name__
    return (text if len(text) <= 300 else f"{text[:300]} ...").rstrip(".")
