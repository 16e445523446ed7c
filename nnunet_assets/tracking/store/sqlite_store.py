"""MLflow's SQLite store, opened so that nothing ruins it.

Measured with MLflow 3.17: five first openings at once leave a file that never opens again, and so did 3 of 8 first
openings that were killed half-way. Hence one process makes a new store (a kernel lock beside the file), under another
name, and renames it when it is whole; the others wait for that, and open it side by side. A file that is not a whole
MLflow store is refused before MLflow touches it: MLflow would add its tables to any other program's database, and takes
101 s to give up on a bad path.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.errors import LockingError, TrackingError, first_offenders
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explained, one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 180.0
"""How long to wait for the process that makes the store: about 2 s, and many times that where processors are busy."""


def database_path(tracking_uri: str) -> Path:
    """Returns the file of an `sqlite:` URI, in which %20 is a space, as SQLAlchemy reads it.

    Raises:
        TrackingError: It is relative, so that every process would open another file, or it is in memory.
    """
    name = unquote(tracking_uri.partition("://")[2].removeprefix("/").partition("?")[0])
    if name in ("", ":memory:"):
        raise TrackingError(
            f"The tracking URI {tracking_uri!r} is a database in memory, which ends with the process. Use "
            f"sqlite:////ABSOLUTE/mlflow.db."
        )
    path = Path(name)
    if not path.is_absolute():
        raise TrackingError(
            f"The tracking URI {tracking_uri!r} is relative to the folder in which each process happens to start. With "
            f"four slashes it is absolute: {_uri(path.resolve())}."
        )
    return path


def open_sqlite_store(destination: Destination) -> "MlflowClient":
    """Returns a client of an SQLite store, which is made if it is not there.

    Raises:
        TrackingError: The place cannot be written, or the file is not a whole MLflow store of this version.
    """
    from filelock import Timeout

    database = database_path(destination.tracking_uri)
    import_store()
    try:
        for folder in (database.parent, destination.artifacts):
            folder.mkdir(parents=True, exist_ok=True)
        with kernel_lock(f"{database}.lock", timeout=LOCK_SECONDS):
            _refuse_what_is_no_file(database)
            if not database.exists() or database.stat().st_size == 0:
                _make(database)
        return _open(database, destination.tracking_uri)
    except Timeout as error:
        raise TrackingError(
            f"Another process has been making the tracking store {database} for {LOCK_SECONDS:g} s; it holds "
            f"{database}.lock. End it, and try again."
        ) from error
    except LockingError as error:
        raise TrackingError(
            f"The file system of {database} has no locks, without which SQLite loses data. Put the store on a local "
            f"disk, or set MLFLOW_TRACKING_URI to an MLflow server."
        ) from error
    except OSError as error:
        raise TrackingError(f"The tracking store {database} cannot be written: {error}.") from error


def import_store() -> None:
    """Imports what MLflow opens an SQLite store with: seconds that nobody who waits for the store need wait for."""
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 (MLflow imports it when it opens the first store)


def _open(database: Path, tracking_uri: str) -> "MlflowClient":
    from mlflow import MlflowClient

    _check(database)
    with explained(tracking_uri):
        client = MlflowClient(tracking_uri=tracking_uri)
        client.search_experiments(max_results=1)
    return client


def _uri(database: Path) -> str:
    # A question mark would begin the URI's options, and % a code.
    return f"sqlite:///{str(database).replace('%', '%25').replace('?', '%3F')}"


def _refuse_what_is_no_file(database: Path) -> None:
    """Refuses a device, whose size is 0 as that of a store still to be made is, and a link that leads nowhere."""
    leads_nowhere = database.is_symlink() and not database.exists()
    if leads_nowhere or (database.exists() and not database.is_file()):
        what = "a link that leads nowhere" if leads_nowhere else "a folder, a pipe or a device, and no file"
        raise TrackingError(
            f"The tracking store {database} is {what}. Move it away, or set MLFLOW_TRACKING_URI to another store."
        )


def _make(database: Path) -> None:
    from mlflow import MlflowClient

    fresh = database.with_name(f".{database.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)  # case names, paths and notes: SQLite keeps the mode for what it adds
    try:
        MlflowClient(tracking_uri=_uri(fresh)).search_experiments(max_results=1)
    except Exception as error:
        raise TrackingError(f"MLflow cannot make the store {database}: {one_line(str(error))}.") from error
    fresh.replace(database)


def _check(database: Path) -> None:
    """Refuses what MLflow must not open."""
    if not os.access(database, os.R_OK | os.W_OK):
        raise TrackingError(f"The tracking store {database} cannot be written: no permission.")
    try:
        # Not `mode=ro`: what a kill left half written SQLite takes back when it opens the file, and must write for it.
        uri = f"file:{quote(str(database))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            versions = []
            if "alembic_version" in tables:
                versions = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.OperationalError as error:
        raise TrackingError(
            f"The tracking store {database} cannot be read ({error}). Leave the file, and any {database.name}-journal "
            "beside it, where they are, and try again when nothing else writes to it or fills its disk."
        ) from error
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{database} is not an SQLite database ({error}). Move it away, or set MLFLOW_TRACKING_URI to another "
            f"store."
        ) from error
    if tables and "experiments" not in tables and "alembic_version" not in tables:
        raise TrackingError(
            f"{database} is the database of another program (tables: {first_offenders(sorted(tables))}). Set "
            f"MLFLOW_TRACKING_URI to another store."
        )
    torn = sorted(table for table in tables if table.startswith("_alembic_tmp"))
    if torn or len(versions) != 1:
        raise TrackingError(
            f"The tracking store {database} is half made (an interrupted first opening or upgrade left "
            f"{first_offenders(torn) or 'no version'}). Move it away if it holds no runs yet: a new one is made. Else "
            f"put your backup in its place."
        )
    _check_version(database, versions[0])


def mlflow_revision() -> str | None:
    """Returns the version of the tables that the installed MLflow works with, as alembic notes it."""
    import mlflow
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    return scripts.get_current_head()


def _check_version(database: Path, version: str) -> None:
    """Refuses a store of another MLflow version, which MLflow would upgrade while opening it, without a backup."""
    import mlflow

    if version != mlflow_revision():
        raise TrackingError(
            f"The tracking store {database} was made by another version of MLflow than the installed "
            f"{mlflow.__version__}, or its first opening was interrupted. Copy the file for safety, then run "
            f"`mlflow db upgrade {_uri(database)}`. If that fails and it holds no runs yet, delete it."
        )
