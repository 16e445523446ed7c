"""What is said of a PostgreSQL that can be used, and of one that cannot, by a real server."""

import re
from collections.abc import Callable, Iterator

import pytest

from nnunet_assets.core.text.postgres_url import read_postgres_url
from nnunet_assets.project_folder.postgres_server import DatabaseError, DatabaseLook, look_at, unusable
from nnunet_assets_tests.real_postgres import PASSWORD, QUOTED_PASSWORD, PostgresServer, postgres_server


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server("max_connections=30") as server:
        server.make("project", "other")
        yield server


def look(url: str) -> DatabaseLook:
    return look_at(read_postgres_url(url, "MLFLOW_TRACKING_URI"), "MLFLOW_TRACKING_URI")


def test_a_database_that_can_be_used_says_so(server: PostgresServer) -> None:
    server.execute("project", 'CREATE TABLE IF NOT EXISTS "a table" (x int)')
    found = look(server.url("project"))
    assert (found.problem, found.tables, found.revisions) == (None, {"a table"}, ())
    assert re.fullmatch(r"PostgreSQL 1\d\.\d+", found.title)
    assert (found.max_connections, found.can_create, found.is_read_only) == (27, True, False)
    assert found.n_connections >= 1
    assert abs(found.clock_seconds) < 5


Wrong = Callable[[PostgresServer], str]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (lambda s: s.url("project", password="wrong"), "does not take the password of nnunet. Correct it in MLFLOW_TR"),
        (
            lambda s: s.url("nope"),
            "has no database nope (MLFLOW_TRACKING_URI). Have it made there: CREATE DATABASE",
        ),
        (lambda s: s.url("project").replace(f":{s.port}/", ":1/"), "PostgreSQL at 127.0.0.1:1 is not reachable"),
        (lambda s: s.url("project").replace("127.0.0.1", "no.such.invalid"), "No machine is known by the name"),
        (lambda s: f"{s.url('project')}?host=/nowhere", "PostgreSQL at /nowhere:"),
    ],
)
def test_what_keeps_a_database_from_being_used_is_a_sentence_without_the_password(
    server: PostgresServer, url: Wrong, said: str
) -> None:
    with pytest.raises(DatabaseError) as caught:
        look(url(server))
    assert said in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert QUOTED_PASSWORD not in str(caught.value)


def test_rights_encodings_and_limits_are_found(server: PostgresServer) -> None:
    server.execute("postgres", "CREATE ROLE poor LOGIN PASSWORD 'poor' CONNECTION LIMIT 3")
    server.execute("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    server.execute("postgres", "ALTER DATABASE other SET default_transaction_read_only = on")
    poor = look(server.url("latin", user="poor", password="poor"))
    assert poor.max_connections == 3
    assert "its texts are LATIN1" in str(poor.problem)
    assert "nothing can be written there" in str(look(server.url("other")).problem)


def test_a_user_who_may_make_no_tables_in_an_empty_database_is_told(server: PostgresServer) -> None:
    server.make("empty")
    server.execute("postgres", "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    server.execute("empty", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    found = look(server.url("empty", user="guest", password="guest"))
    assert "its user may not make tables there" in str(found.problem)


def test_words_that_nobody_knows_are_passed_on_without_credentials() -> None:
    url = read_postgres_url("postgresql://u:s3cret@h/db", "X")
    said = unusable("FATAL: une erreur\n  postgresql://u:s3cret@h/db", url, "X")
    assert said == "The PostgreSQL database u@h:5432/db (X) cannot be used: FATAL: une erreur postgresql://***@h/db."
