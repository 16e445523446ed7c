"""The PostgreSQL databases of a project: whether they can be used, and have connections enough for its folds."""

from collections.abc import Iterator

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.core.text.postgres_url import PostgresUrl, is_postgres
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.project_folder.instance_state import runs_at_once, schema_problem
from nnunet_assets.project_folder.jobs_at_once import FEWEST_RUNS
from nnunet_assets.project_folder.postgres_instance import instance_database, look_at_instance
from nnunet_assets.project_folder.postgres_server import DatabaseLook
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.postgres_store import URI_VARIABLE, look_at_store, read_store_url

DAGSTER, MLFLOW = "Dagster's database", "MLflow's database"

SERVERS_CONNECTIONS, RUN_CONNECTIONS = 12, 2
"""Seen were 7 of Dagster's servers and MLflow's, and 15 with eight runs that ended together; and room for more."""

CLOCK_SECONDS = 5.0


def database_findings(settings: Settings) -> Iterator[Finding]:
    """Looks at Dagster's database and at MLflow's, where they are PostgreSQL's."""
    servers: dict[tuple[str, int], DatabaseLook] = {}
    yield from _of_dagster(settings, servers)
    if is_postgres(settings.tracking_uri):
        try:
            url = read_store_url(settings.tracking_uri)
            yield from _found(MLFLOW, url, look_at_store(url), servers, URI_VARIABLE)
        except NnunetAssetsError as error:
            yield Finding("error", MLFLOW, str(error))
    yield from _connections(settings, servers)


def _of_dagster(settings: Settings, servers: dict[tuple[str, int], DatabaseLook]) -> Iterator[Finding]:
    file = settings.dagster_home / "dagster.yaml"
    try:
        database = instance_database(file, settings.variables)
        if database is None:
            return
        yield from _found(DAGSTER, database.url, look_at_instance(database), servers, database.name)
        if problem := schema_problem(settings.project):
            yield Finding("error", DAGSTER, *problem)
    except NnunetAssetsError as error:
        yield Finding("error", DAGSTER, str(error))
        return
    if database.is_written_out:
        found = f"its URL, with any password in it, stands in {file}, which Dagster's web UI shows."
        yield Finding("warning", DAGSTER, found, "Name a variable there (postgres_url: {env: DAGSTER_POSTGRES_URL}).")


def _found(
    what: str, url: PostgresUrl, look: DatabaseLook, servers: dict[tuple[str, int], DatabaseLook], name: str
) -> Iterator[Finding]:
    servers[(url.host, url.port)] = look
    tables = f"{len(look.tables)} tables" if look.tables else "empty; tables are made when they are needed"
    yield Finding("ok", what, f"{url} ({name}), {look.title}, {tables}")
    if abs(look.clock_seconds) > CLOCK_SECONDS:
        ahead = "ahead of" if look.clock_seconds > 0 else "behind"
        found = f"the server's clock is {abs(look.clock_seconds):.0f} s {ahead} this machine's."
        yield Finding("warning", what, found, "Let both follow a time server: what waits is told by its age.")


def _connections(settings: Settings, servers: dict[tuple[str, int], DatabaseLook]) -> Iterator[Finding]:
    try:
        n_runs = runs_at_once(settings.project) if servers else None
    except NnunetAssetsError:  # told already, or by whoever looks at the instance
        n_runs = None
    n_runs = n_runs or FEWEST_RUNS
    needed = SERVERS_CONNECTIONS + RUN_CONNECTIONS * n_runs
    for (host, port), look in servers.items():
        what = f"connections of {host or 'the local socket'}:{port}"
        found = f"{look.n_connections} in use, at most {look.max_connections}; this project may need {needed}"
        if needed <= look.max_connections:
            yield Finding("ok", what, f"{found}, with {n_runs} runs at once")
        else:
            remedy = "Raise max_connections of the server or the limit of its user, or lower max_concurrent_runs."
            yield Finding("warning", what, f"{found}, with {n_runs} runs at once.", remedy)
