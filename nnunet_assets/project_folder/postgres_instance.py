"""Dagster's instance on PostgreSQL: the few lines of `dagster.yaml` that say so, and where the URL comes from.

The URL holds a password, and `dagster.yaml` is a file that is shown and shared: it names a variable, which stands in
the project's `.env`, and which Dagster looks up in the environment of each of its processes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunet_assets.core.text.postgres_url import PostgresUrl, read_postgres_url
from nnunet_assets.declarations.yaml_files.settings_file import readable_settings
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.postgres_server import PACKAGES, DatabaseLook, look_at

DAGSTER_URL_VARIABLE = "DAGSTER_POSTGRES_URL"

STORAGE_YAML = f"""
# Runs, events and schedules lie in PostgreSQL. The URL, with its password, stands in the project's `.env`.
storage:
  postgres:
    postgres_url:
      env: {DAGSTER_URL_VARIABLE}
"""

_OURS, _OF_MLFLOW = {"bulk_actions", "event_logs"}, "experiments"


@dataclass(frozen=True)
class InstanceDatabase:
    """The database that `dagster.yaml` names.

    Attributes:
        name: The variable that holds the URL; `dagster.yaml` where it stands there.
        url: The database.
        is_written_out: Whether the URL, and with it any password, stands in `dagster.yaml`.
    """

    name: str
    url: PostgresUrl
    is_written_out: bool


def instance_database(dagster_yaml: Path, variables: Mapping[str, str]) -> InstanceDatabase | None:
    """Returns the PostgreSQL database of an instance; None: it has another storage, or one that is given in parts.

    Args:
        dagster_yaml: Its settings.
        variables: The environment, and over it the project's `.env`.

    Raises:
        ConfigError: The variable is not set, the URL cannot be read, or its driver is not there.
    """
    postgres = _postgres(dagster_yaml)
    given = postgres.get("postgres_url") if postgres else None
    if given is None:
        return None
    name = str(given["env"]) if isinstance(given, dict) and "env" in given else dagster_yaml.name
    text = str(variables.get(name, "")) if name != dagster_yaml.name else str(given)
    if not text:
        raise ConfigError(
            f"{dagster_yaml} takes the URL of Dagster's database from {name}, which is not set. Set it in the "
            "project's .env."
        )
    url = read_postgres_url(text, name)
    if url.driver_problem:
        raise ConfigError(f"{name} {url.driver_problem}")
    return InstanceDatabase(name, url, name == dagster_yaml.name)


def is_on_postgres(dagster_yaml: Path) -> bool:
    """Tells whether an instance's storage is PostgreSQL, however it is given."""
    return _postgres(dagster_yaml) is not None


def look_at_instance(database: InstanceDatabase) -> DatabaseLook:
    """Returns what an instance's database is like.

    Raises:
        ConfigError: It cannot be used: see `look_at`; or it is another program's, or a package is missing.
    """
    if find_spec("dagster_postgres") is None:
        raise ConfigError(f"Dagster's database is PostgreSQL, and dagster-postgres is not installed: {PACKAGES}.")
    look = look_at(database.url, database.name)
    if look.problem:
        raise ConfigError(f"Dagster cannot use the database {database.url} ({database.name}): {look.problem}.")
    if look.tables and not look.tables & _OURS:
        owner = "MLflow's" if _OF_MLFLOW in look.tables else "another program's"
        raise ConfigError(
            f"The database {database.url} ({database.name}) is {owner}, and Dagster needs one of its own: both note "
            "the version of their tables in one place. Have another one made, and name that."
        )
    return look


def referred_variables(dagster_yaml: Path) -> frozenset[str]:
    """Returns the variables of the environment from which `dagster.yaml` takes values."""
    return frozenset(_referred(readable_settings(dagster_yaml)))


def _referred(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if list(value) == ["env"] and isinstance(value["env"], str):
            yield value["env"]
        for part in value.values():
            yield from _referred(part)
    elif isinstance(value, list):
        for part in value:
            yield from _referred(part)


def _postgres(dagster_yaml: Path) -> dict[str, Any] | None:
    storage = readable_settings(dagster_yaml).get("storage")
    found = storage.get("postgres") if isinstance(storage, dict) else None
    return found if isinstance(found, dict) else None
