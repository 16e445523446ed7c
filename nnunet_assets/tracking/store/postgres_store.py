"""MLflow's tables in a PostgreSQL database, looked at before MLflow opens them, and made by one process at a time.

MLflow takes 101 s to give up on a server that is down or refuses a password, and adds its tables to any program's
database. Its own lock while it makes them lies in the machine's temporary folder: two machines would make them at once.
"""

import logging
from typing import TYPE_CHECKING

from nnunet_assets.core.text.postgres_url import PostgresUrl, read_postgres_url
from nnunet_assets.errors import ConfigError, TrackingError
from nnunet_assets.project_folder.postgres_server import DatabaseLook, connected, look_at
from nnunet_assets.tracking.store.server_errors import explained
from nnunet_assets.tracking.store.sqlite_store import mlflow_revision

if TYPE_CHECKING:
    from mlflow import MlflowClient

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_MAKING = 7_368_465
"""The number of the lock that PostgreSQL holds for who makes the tables: any, as long as it is the same everywhere."""


class OtherTablesError(TrackingError):
    """The database has tables that are not those of this MLflow, or not all of them yet."""


def read_store_url(tracking_uri: str) -> PostgresUrl:
    """Returns the database that a tracking URI names.

    Raises:
        TrackingError: It cannot be read, or not with psycopg2.
    """
    try:
        url = read_postgres_url(tracking_uri, URI_VARIABLE)
    except ConfigError as error:
        raise TrackingError(str(error)) from None
    if url.driver_problem:
        raise TrackingError(f"{URI_VARIABLE} {url.driver_problem}")
    return url


def look_at_store(url: PostgresUrl, name: str = URI_VARIABLE) -> DatabaseLook:
    """Returns what MLflow's database is like.

    Args:
        url: The database.
        name: The variable that holds the URL.

    Raises:
        TrackingError: It cannot be used: it is not reachable, or (`OtherTablesError`) another program's, or of another
            version of MLflow; so it looks, too, while somebody makes the tables.
    """
    try:
        look = look_at(url, name)
    except ConfigError as error:
        # What psycopg2 said decides whether it may work later.
        raise TrackingError(str(error)) from error.__cause__
    if look.problem:
        raise TrackingError(f"MLflow cannot use the database {url} ({name}): {look.problem}.")
    if look.tables and "experiments" not in look.tables:
        owner = "Dagster's" if "event_logs" in look.tables or "bulk_actions" in look.tables else "another program's"
        raise OtherTablesError(
            f"The database {url} ({name}) is {owner}, and MLflow needs one of its own: both note the version of their "
            "tables in one place. Have another one made, and name that."
        )
    if look.tables and look.revisions != (mlflow_revision(),):
        from mlflow import __version__

        raise OtherTablesError(
            f"The tables of MLflow in {url} ({name}) were made by another version than the installed {__version__}. "
            "Have the database saved (pg_dump), end all that use it, and run `mlflow db upgrade` with its URL, without "
            "the password, which belongs into ~/.pgpass."
        )
    return look


def open_postgres_store(tracking_uri: str) -> "MlflowClient":
    """Returns a client of the tables, which are made if they are not there.

    Raises:
        TrackingError: As `read_store_url` and `look_at_store`.
    """
    url = read_store_url(tracking_uri)
    try:
        is_made = bool(look_at_store(url).tables)
    except OtherTablesError:
        is_made = False
    if is_made:
        return _open(tracking_uri)
    with connected(url, URI_VARIABLE) as connection, connection.cursor() as cursor:
        # Free when the connection ends, whatever ends it.
        cursor.execute("SELECT pg_advisory_lock(%s)", (_MAKING,))
        look_at_store(url)
        return _open(tracking_uri)


def _open(tracking_uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    # Else it tells about each of its tables, and with each connection how it is kept.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    with explained(tracking_uri):
        client = MlflowClient(tracking_uri=tracking_uri)
        client.search_experiments(max_results=1)
    return client
