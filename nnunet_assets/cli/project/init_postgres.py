"""`init --postgres`: a project whose records, Dagster's and MLflow's, lie in PostgreSQL.

The URLs hold passwords. They come from the environment or from a prompt, never from an argument, which others on the
machine can read, and go into the project's `.env`, which only its owner can read.
"""

import logging
import sys
from pathlib import Path

import click
import yaml

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.text.postgres_url import PATTERN, PostgresUrl, is_postgres, read_postgres_url
from nnunet_assets.declarations.yaml_files.settings_file import read_settings
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.dagster_home import DAGSTER_YAML
from nnunet_assets.project_folder.env_file import add_to_env_file
from nnunet_assets.project_folder.postgres_instance import (
    DAGSTER_URL_VARIABLE,
    STORAGE_YAML,
    InstanceDatabase,
    is_on_postgres,
    look_at_instance,
)
from nnunet_assets.project_folder.postgres_server import DatabaseLook
from nnunet_assets.project_folder.running_daemons import find_daemon
from nnunet_assets.settings import Settings, dagster_home, project_settings, project_variables
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.postgres_store import URI_VARIABLE, look_at_store

REMARK = "# PostgreSQL: these URLs hold passwords, and only you may read this file."
_STORAGES = ("storage", "run_storage", "event_log_storage", "schedule_storage")


def put_on_postgres(root: Path) -> None:
    """Has a project record in PostgreSQL from now on; writes nothing before both databases were found usable.

    Args:
        root: A project, whose instance may be still to be made.

    Raises:
        NnunetAssetsError: A URL is missing or wrong, a database cannot be used, or a daemon works on the instance.
    """
    if (root / ".dagster" / "dagster.yaml").exists() and (daemon := find_daemon(root)):
        raise ConfigError(f"{daemon.who} works on the instance of {root}, which is to be another one. {daemon.remedy}")
    variables = project_variables(root)
    dagster = _asked(DAGSTER_URL_VARIABLE, variables.get(DAGSTER_URL_VARIABLE), "The database for Dagster's runs")
    known = variables.get(URI_VARIABLE)
    if known and not is_postgres(known) and not known.startswith("http"):
        known = None  # a file: it is what is left behind
    text = known or _prompted(URI_VARIABLE, "The database for MLflow's runs, or http(s)://... of an MLflow server")
    mlflow = None if text.startswith("http") else read_postgres_url(text, URI_VARIABLE)
    if mlflow and mlflow.is_same_database(dagster):
        raise ConfigError(
            f"{DAGSTER_URL_VARIABLE} and {URI_VARIABLE} name one database, {dagster}, and each program needs one of "
            "its own: both note the version of their tables in one place."
        )
    _say("Dagster", dagster, look_at_instance(InstanceDatabase(DAGSTER_URL_VARIABLE, dagster, False)))
    if mlflow:
        _say("MLflow", mlflow, look_at_store(mlflow))
    _refuse_other_storage(root)
    uri = mlflow.for_dotenv if mlflow else text
    add_to_env_file(root, {DAGSTER_URL_VARIABLE: dagster.for_dotenv, URI_VARIABLE: uri}, REMARK)
    _write_storage(root)
    if mlflow:
        from nnunet_assets.tracking.store.client import connect

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        connect(Destination.of(project_settings(root)))


def _asked(name: str, known: str | None, what: str) -> PostgresUrl:
    return read_postgres_url(known or _prompted(name, what), name)


def _prompted(name: str, what: str) -> str:
    if not is_terminal():
        raise ConfigError(
            f"{name} is not set. Set it to {PATTERN} in the environment, or call this in a terminal, where it is asked "
            "for; it is no argument, since others on the machine can read those."
        )
    return str(click.prompt(f"{what} ({PATTERN}; not shown)", hide_input=True, err=True))


def is_terminal() -> bool:
    """Tells whether somebody can be asked."""
    return sys.stdin.isatty()


def _say(program: str, url: PostgresUrl, look: DatabaseLook) -> None:
    if url.driver_problem:
        click.echo(f"The URL for {program} {url.driver_problem} That was done.")
    kept = f"{len(look.tables)} tables of before are used on" if look.tables else "its tables are made now"
    click.echo(f"{program}: {url}, {look.title}; {kept}.")


def _refuse_other_storage(root: Path) -> None:
    file = dagster_home(root) / "dagster.yaml"
    if not file.exists() or is_on_postgres(file):
        return
    written = read_settings(file)
    if other := [name for name in _STORAGES if name in written]:
        raise ConfigError(f"{file} says of {', '.join(other)} where Dagster records. Remove that, and call this again.")


def _write_storage(root: Path) -> None:
    """Adds the storage to a `dagster.yaml` that is there; a new one gets it when it is made."""
    file = dagster_home(root) / "dagster.yaml"
    if not file.exists() or is_on_postgres(file):
        return
    text = file.read_text(encoding="utf-8")
    launcher = "" if "run_launcher" in read_settings(file) else _launcher_yaml()
    write_atomically(file, f"{text.rstrip()}\n{launcher}{STORAGE_YAML}".encode())
    click.echo(
        f"What Dagster and MLflow recorded so far stays in {file.parent} and {Settings.from_environment(root).data}, "
        "and is not taken along. A backfill of finished folds trains nothing and records them anew."
    )


def _launcher_yaml() -> str:
    launcher = yaml.safe_load(DAGSTER_YAML)["run_launcher"]
    return f"\n{yaml.safe_dump({'run_launcher': launcher}, sort_keys=False)}"
