"""Connections to MLflow: explicit clients, bounded in time, with a sentence for whatever is wrong at the other end.

MLflow's global state (active run, tracking URI) is never touched. A database URI opens the database from this process:
then the artifacts are ours to place. An http(s) URI leaves them to the server.
"""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from nnunet_assets.core.text.postgres_url import is_postgres
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import NotMadeYetError, TrackingError
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.experiment_page import missing_tags
from nnunet_assets.tracking.store.postgres_store import open_postgres_store
from nnunet_assets.tracking.store.server_errors import DATABASE_SCHEMES, explain, one_line, scheme, unreachable
from nnunet_assets.tracking.store.sqlite_store import LOCK_SECONDS, database_path, import_store, open_sqlite_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROBE_SECONDS = 10.0

_MLFLOW_DEFAULTS = {
    # MLflow's own are 120 s and 7 retries: a server that is down holds a single call for 249 s.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # Else a proxy's `Retry-After: 3600` puts the caller to sleep for an hour.
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    # Ending a run prints its link with emoji, which fails where standard output is ASCII, and the run stays open.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Nor three lines of a bar for a file of 10 kB.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}

_Result = TypeVar("_Result")


def prepare_environment() -> None:
    """Bounds MLflow's waiting and turns its telemetry off, except where the environment already decides.

    MLflow takes these from environment variables only, the last one when it is imported: call this before.
    """
    for name, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def patient(seconds: int) -> Iterator[None]:
    """Lets each answer of a server take so long for a while, where the environment does not say longer.

    Of the whole process, since MLflow asks its environment.
    """
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ.get(name)
    if before is None or (before.isdecimal() and int(before) < seconds):
        os.environ[name] = str(seconds)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def connect(destination: Destination) -> "MlflowClient":
    """Returns a client of a store that answers; a new SQLite store is made first.

    Raises:
        TrackingError: The URI is of no use, the store does not answer, or it is not MLflow's.
    """
    tracking_uri = destination.tracking_uri
    _check_uri(tracking_uri)
    prepare_environment()
    from mlflow import MlflowClient

    if scheme(tracking_uri) == "sqlite":
        return open_sqlite_store(destination)
    if is_postgres(tracking_uri):
        # A connection for as long as something is asked: fifty folds that wait would hold fifty, and one that is kept
        # fails after the server was restarted.
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        return open_postgres_store(tracking_uri)
    try:
        client = MlflowClient(tracking_uri=tracking_uri)
        client.search_experiments(max_results=1)
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"{redacted(tracking_uri)} needs the Python package {error.name}, which is not installed. Install it, or "
            f"point MLFLOW_TRACKING_URI at an MLflow server."
        ) from error
    except Exception as error:
        if "unsupported URI" in str(error):  # of MLflow itself and of its plugins none has such a scheme
            raise TrackingError(
                f"MLflow knows no store at an address like {redacted(tracking_uri)}. Set MLFLOW_TRACKING_URI to a "
                f"server's (http://HOST:5000) or to a database's (sqlite:////ABSOLUTE/mlflow.db, postgresql://...)."
            ) from None
        raise TrackingError(explain(error, tracking_uri).sentence) from error
    return client


def connect_to_read(destination: Destination) -> "MlflowClient":
    """Returns a client of a store that is there and answers; makes none.

    A folder of MLflow's former file store (`./mlruns`) may be read too, although no new run goes there: the tracking
    URI is then the folder, as a path or a `file:` URI.

    Raises:
        TrackingError: As `probe`, or nothing is there (`NotMadeYetError` where a run would make it).
    """
    tracking_uri = destination.tracking_uri
    folder = _file_store(tracking_uri)
    if folder is None:
        _check_uri(tracking_uri)
        if is_to_be_made(tracking_uri):
            file = database_path(tracking_uri)
            raise NotMadeYetError(
                f"The tracking store {file} is {'empty' if file.exists() else 'not there'}: nothing was tracked so "
                "far, or it lies elsewhere. Name it with --tracking-uri or MLFLOW_TRACKING_URI."
            )
        _import_mlflow(tracking_uri)
        return _within(PROBE_SECONDS, lambda: connect(destination), tracking_uri)
    if not folder.is_dir():
        raise TrackingError(f"The tracking URI {tracking_uri!r} is a folder that is not there: {folder}.")
    prepare_environment()
    # MLflow takes its consent to read its own former store from here only.
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=folder.resolve().as_uri())


def pages(search: Any, **arguments: Any) -> Iterator[Any]:
    """Yields everything that a search of `MlflowClient` finds, page by page."""
    token: str | None = None
    while True:
        page = search(**arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def probe(destination: Destination, timeout_seconds: float = PROBE_SECONDS) -> str:
    """Returns what was found at a destination, such as `SQLite store /data/mlflow.db, 3 experiments`.

    Args:
        timeout_seconds: How long to wait, without the import of MLflow, nor what it takes to make a new SQLite store;
            a server that takes the connection and never answers costs no more.

    Raises:
        TrackingError: As `connect`, and when the time is over.
    """
    tracking_uri = destination.tracking_uri
    _check_uri(tracking_uri)
    _import_mlflow(tracking_uri)
    if is_to_be_made(tracking_uri):
        connect(destination)

    def look() -> str:
        # The first page holds 1000: more than that needs no exact number.
        n_experiments = len(connect(destination).search_experiments())
        kinds = {"sqlite": "SQLite store", "postgresql": "PostgreSQL store"}
        kind = kinds.get(scheme(tracking_uri), "MLflow store")
        from mlflow import __version__

        noun = "experiment" if n_experiments == 1 else "experiments"
        return f"{kind} {redacted(tracking_uri)}, {n_experiments} {noun}, MLflow client {__version__}"

    return _within(timeout_seconds, look, tracking_uri)


def _import_mlflow(tracking_uri: str) -> None:
    """Imports what opening a store takes: seconds that are not the server's."""
    prepare_environment()
    import mlflow  # noqa: F401

    if scheme(tracking_uri) in DATABASE_SCHEMES:
        import_store()


def is_to_be_made(tracking_uri: str) -> bool:
    """Tells whether it is an SQLite store whose file is not there yet, or still empty.

    Raises:
        TrackingError: As `sqlite_store.database_path`.
    """
    if scheme(tracking_uri) != "sqlite":
        return False
    file = database_path(tracking_uri)
    return not file.exists() or (file.is_file() and file.stat().st_size == 0)


def get_or_create_experiment(client: "MlflowClient", name: str, destination: Destination) -> str:
    """Returns the id of the MLflow experiment of that name; when several processes ask at once, all get the same.

    Raises:
        TrackingError: The experiment was deleted, or MLflow refuses the name.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        is_ours = scheme(client.tracking_uri) in DATABASE_SCHEMES
        try:
            client.create_experiment(name, artifact_location=destination.artifacts.as_uri() if is_ours else None)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise TrackingError(
                    f"MLflow cannot make the experiment {name!r}: {one_line(str(error))}. Set MLFLOW_EXPERIMENT_NAME "
                    f"to another name."
                ) from error
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        number = found.experiment_id if found else "ID"
        raise TrackingError(
            f"The MLflow experiment {name!r} was deleted. Restore it with `mlflow experiments restore -x {number}`, or "
            f"set MLFLOW_EXPERIMENT_NAME to another name."
        )
    # Who may add runs need not be allowed to change the experiment: how its page looks is worth none of them.
    with suppress(MlflowException):
        for key, text in missing_tags(found.tags, found.experiment_id).items():
            client.set_experiment_tag(found.experiment_id, key, text)
    return str(found.experiment_id)


def _file_store(tracking_uri: str) -> Path | None:
    """Returns the folder that a URI of MLflow's former file store means; None: it is no such URI."""
    if tracking_uri.startswith("databricks") or scheme(tracking_uri) not in ("", "file") or _is_bare(tracking_uri):
        return None
    path = tracking_uri.removeprefix("file:")
    return Path(unquote(urlsplit(tracking_uri).path) if path != tracking_uri else path)


def _is_bare(tracking_uri: str) -> bool:
    """Says whether it is a server's HOST:PORT, and not a folder of such a name."""
    return bool(re.fullmatch(r"[\w.\-]+:\d+/?", tracking_uri)) and not Path(tracking_uri).exists()


def _check_uri(tracking_uri: str) -> None:
    if _is_bare(tracking_uri):
        raise TrackingError(
            f"The tracking URI {tracking_uri!r} says not how to speak to it: write http://{tracking_uri}."
        )
    if _file_store(tracking_uri) is not None:
        folder = tracking_uri.removeprefix("file://") or "./mlruns"
        raise TrackingError(
            f"The tracking URI {redacted(tracking_uri)!r} is a folder. Current MLflow keeps no runs in files: use "
            f"sqlite:////ABSOLUTE/mlflow.db. `mlflow migrate-filestore --source {folder} --target "
            f"sqlite:////ABSOLUTE/mlflow.db` takes your runs along."
        )


def _within(seconds: float, work: Callable[[], _Result], tracking_uri: str) -> _Result:
    """Returns what the work returns; gives up waiting after so many seconds, whatever the work is doing.

    The timeouts of sockets do not bound a server that sends a byte now and then, nor SQLite's waiting for a lock. A
    file on this machine is given more time: whatever takes long there is this machine's own work.
    """
    seconds = max(seconds, LOCK_SECONDS) if scheme(tracking_uri) == "sqlite" else seconds
    results: list[_Result] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001 (raised again below, in the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="mlflow-probe")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TrackingError(unreachable(tracking_uri, f"no answer within {seconds:g} s"))
    return results[0]
