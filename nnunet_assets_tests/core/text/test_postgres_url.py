"""URLs of PostgreSQL are read as SQLAlchemy and libpq read them, and no password is ever shown."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.text.postgres_url import is_postgres, read_postgres_url
from nnunet_assets.errors import ConfigError

WORD = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, categories=["L", "N", "P", "S"]), min_size=1)


@settings(max_examples=50)
@given(user=WORD, password=WORD, database=WORD)
def test_what_a_url_says_is_what_sqlalchemy_reads(user: str, password: str, database: str) -> None:
    from sqlalchemy.engine import make_url

    text = f"postgresql://{quote(user, '')}:{quote(password, '')}@db:5433/{quote(database, '')}"
    url = read_postgres_url(text, "MLFLOW_TRACKING_URI")
    theirs = make_url(url.for_sqlalchemy)
    assert (url.user, url.host, url.port) == (theirs.username, theirs.host, theirs.port) == (user, "db", 5433)
    assert theirs.password == password
    assert theirs.drivername == "postgresql+psycopg2"
    assert dict(theirs.query) == {"connect_timeout": "10"}
    assert url.database == database
    assert str(url) == f"{user}@db:5433/{database}"


@pytest.mark.parametrize("driver", ["postgres", "postgresql", "PostgreSQL", "postgresql+psycopg2"])
def test_each_way_to_write_it_becomes_psycopg2(driver: str) -> None:
    url = read_postgres_url(f"{driver}://u:p@h/db?sslmode=require&connect_timeout=3", "X")
    assert url.for_sqlalchemy == "postgresql+psycopg2://u:p@h/db?sslmode=require&connect_timeout=3"
    assert url.for_libpq == "postgresql://u:p@h/db?sslmode=require&connect_timeout=3"
    assert is_postgres(f"{driver}://u:p@h/db")


def test_a_socket_is_named_by_its_folder() -> None:
    url = read_postgres_url("postgresql://u@/db?host=/run/postgresql&port=5433", "X")
    assert str(url) == "u@/run/postgresql:5433/db"
    assert url.for_libpq == "postgresql://u@/db?host=/run/postgresql&port=5433&connect_timeout=10"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "X is no URL, and is to be"),
        ("s3cret", "X is no URL"),
        ("mysql://u:s3cret@h/db", "X begins with 'mysql', and is to be the URL of a PostgreSQL"),
        ("postgresql+psycopg://u:s3cret@h/db", "X names the driver 'psycopg'. Dagster and MLflow are run here with ps"),
        ("postgresql://u:s3/cret@h/db", "write @ as %40, : as %3A, / as %2F"),
        ("postgresql://u:s3?cret@h/db", "write @ as %40"),
        ("postgresql://u:s3#cret@h/db", "write @ as %40"),
        ("postgresql://u:s3@cret@h/db", "write @ as %40"),
        ("postgresql://u:s3cret@h:port/db", "its port is no number"),
        ("postgresql://u:s3cret@h:5432/", "X names no database"),
    ],
)
def test_what_cannot_be_read_is_said_without_what_stands_there(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_postgres_url(text, "X")
    assert said in str(caught.value)
    assert "cret" not in str(caught.value)
    assert "s3" not in str(caught.value)


def test_no_other_store_is_taken_for_one() -> None:
    assert not any(map(is_postgres, ["sqlite:////a.db", "http://h", "", "postgres"]))


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        ("postgresql+psycopg2", None),
        (
            "postgresql",
            "begins with postgresql://, for which SQLAlchemy 2.1 takes psycopg 3. Write postgresql+psy",
        ),
        ("postgres", "begins with postgres://, for which SQLAlchemy 2.1 takes no driver at all. Write postgresql+psy"),
    ],
)
def test_how_it_is_written_is_told_where_sqlalchemy_takes_another_driver(driver: str, problem: str | None) -> None:
    found = read_postgres_url(f"{driver}://u:p@h/db", "X").driver_problem
    assert found is None if problem is None else str(found).startswith(problem)


def test_what_a_dotenv_would_end_is_escaped_there() -> None:
    url = read_postgres_url("postgresql://u:a$b`c@h/db?application_name=it's\\a", "X")
    assert url.for_dotenv == ("postgresql+psycopg2://u:a%24b%60c@h/db?application_name=it%27s%5Ca&connect_timeout=10")
    assert repr(url) == "PostgresUrl(u@h:5432/db)"


def test_what_is_not_in_its_place_may_stand_behind() -> None:
    url = read_postgres_url(" postgresql:///?dbname=db&user=me ", "X")
    assert (url.user, url.host, url.port, url.database) == ("me", "", 5432, "db")
    assert str(url) == "me@the local socket:5432/db"
    assert str(read_postgres_url("postgresql:///db", "X")) == "the local socket:5432/db"
    both = read_postgres_url("postgresql://u@h:1/a?dbname=b&user=v&host=g&port=2", "X")
    assert (both.user, both.host, both.port, both.database) == ("u", "g", 2, "a")


def test_a_database_is_the_same_by_host_port_and_name_whoever_uses_it() -> None:
    url = read_postgres_url("postgresql://u:p@h:5432/db", "X")
    assert url.is_same_database(read_postgres_url("postgres://v:q@h/db?sslmode=require", "X"))
    for other in ("postgresql://u:p@g:5432/db", "postgresql://u:p@h:5433/db", "postgresql://u:p@h/other"):
        assert not url.is_same_database(read_postgres_url(other, "X"))


def test_of_another_kind_so_much_is_shown_as_tells_it() -> None:
    long = "a" * 30
    with pytest.raises(ConfigError, match=f"X begins with '{long[:20]}', and is to be"):
        read_postgres_url(f"{long}://x", "X")
    with pytest.raises(ConfigError, match=f"X names the driver '{long[:20]}'"):
        read_postgres_url(f"postgresql+{long}://x", "X")
    for text in ("mysql://", "my sql://x", "://x"):
        with pytest.raises(ConfigError, match="X is no URL"):
            read_postgres_url(text, "X")
