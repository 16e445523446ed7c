"""A PostgreSQL database, looked at before Dagster or MLflow opens it: whether it can be used, in full sentences.

Both try for minutes to reach a server that is down, and end with a traceback. libpq gives no code for a connection that
failed, so that its words decide; words that are not known here (a server may speak another language) are passed on.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nnunet_assets.core.text.postgres_url import PostgresUrl
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import ConfigError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 - a class that is called as a function is

PACKAGES = "pip install 'nnunet_assets[postgres]'"

OLDEST_VERSION = 120000
"""PostgreSQL 12: what MLflow asks for."""


class DatabaseError(ConfigError):
    """A database cannot be used."""


@dataclass(frozen=True)
class DatabaseLook:
    """What was found in a database and of its server.

    Attributes:
        version: The server's, as PostgreSQL counts: 150018.
        tables: Those of the schema that is written to.
        revisions: What alembic noted of them; empty: nothing.
        can_create: Whether the user may make tables.
        is_read_only: Whether nothing can be written, as to a standby.
        encoding: Of the database's texts.
        clock_seconds: How far the server's clock is ahead of this machine's.
        max_connections: How many this user may have at once, by all limits there are.
        n_connections: How many the server has now, this one included, from whomever.
    """

    version: int
    tables: frozenset[str]
    revisions: tuple[str, ...]
    can_create: bool
    is_read_only: bool
    encoding: str
    clock_seconds: float
    max_connections: int
    n_connections: int

    @property
    def title(self) -> str:
        """The server in words: `PostgreSQL 15.18`."""
        return f"PostgreSQL {self.version // 10000}.{self.version % 10000}"

    @property
    def problem(self) -> str | None:
        """What keeps a program from working with it; None: nothing."""
        if self.version < OLDEST_VERSION:
            return f"it is {self.title}, older than 12"
        if self.is_read_only:
            return "nothing can be written there: it is a standby, or set to read only"
        if self.encoding != "UTF8":
            return (
                f"its texts are {self.encoding}, in which names and notes cannot all be written. Have it made anew: "
                "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )
        if not self.can_create and not self.tables:
            return "its user may not make tables there. As an administrator: ALTER DATABASE ... OWNER TO that user"
        return None


def look_at(url: PostgresUrl, name: str) -> DatabaseLook:
    """Returns what a database is like; takes ten seconds at most where no server answers.

    Args:
        url: The database.
        name: The variable that holds the URL.

    Raises:
        DatabaseError: It cannot be reached, or not by this user.
    """
    with connected(url, name) as connection, connection.cursor() as cursor:
        before = time.time()
        cursor.execute(_QUESTIONS)
        (version, can_create, read_only, encoding, now, most, reserved, of_role, of_database, n_connections) = (
            cursor.fetchone()
        )
        clock_seconds = float(now) - (before + time.time()) / 2
        cursor.execute("SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()")
        tables = frozenset(table for (table,) in cursor.fetchall())
        revisions: tuple[str, ...] = ()
        if "alembic_version" in tables:
            cursor.execute("SELECT version_num FROM alembic_version ORDER BY 1")
            revisions = tuple(revision for (revision,) in cursor.fetchall())
    limits = [int(most) - int(reserved), *(limit for limit in (of_role, of_database) if limit >= 0)]
    return DatabaseLook(
        version=int(version),
        tables=tables,
        revisions=revisions,
        can_create=can_create,
        is_read_only=read_only,
        encoding=encoding,
        clock_seconds=clock_seconds,
        max_connections=min(limits),
        n_connections=n_connections,
    )


_QUESTIONS = """
SELECT current_setting('server_version_num'),
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
    pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
    pg_encoding_to_char(d.encoding),
    extract(epoch FROM clock_timestamp()),
    current_setting('max_connections'),
    current_setting('superuser_reserved_connections'),
    (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
    d.datconnlimit,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
FROM pg_database d WHERE d.datname = current_database()
"""


@contextmanager
def connected(url: PostgresUrl, name: str) -> "Iterator[Connection]":
    """Yields a connection in which each statement counts at once.

    Raises:
        DatabaseError: As `look_at`.
    """
    try:
        import psycopg2
    except ImportError as error:
        raise DatabaseError(
            f"{name} is the URL of a PostgreSQL database, and the package psycopg2 is not installed: {PACKAGES}."
        ) from error
    try:
        connection = psycopg2.connect(url.for_libpq)
    except psycopg2.Error as error:
        raise DatabaseError(unusable(str(error), url, name)) from error
    try:
        connection.autocommit = True
        yield connection
    except psycopg2.Error as error:
        raise DatabaseError(unusable(str(error), url, name)) from error
    finally:
        with suppress(psycopg2.Error):
            connection.close()


def unusable(said: str, url: PostgresUrl, name: str) -> str:
    """Returns the sentences about a database that could not be used; no password is in them.

    Args:
        said: What psycopg2 says.
        url: The database.
        name: The variable that holds the URL.
    """
    place = f"{url.host or 'the local socket'}:{url.port}"
    for pattern, sentence in _KNOWN:
        if re.search(pattern, said, re.IGNORECASE):
            user = url.user or "the user of this process"
            return sentence.format(place=place, user=user, database=url.database, name=name)
    text = redacted(" ".join(said.split()))[:300].rstrip(".")
    return f"The PostgreSQL database {url} ({name}) cannot be used: {text}."


_KNOWN = (
    (
        "password authentication failed|no password supplied",
        "PostgreSQL at {place} does not take the password of {user}. Correct it in {name}, where the characters "
        "@ : / ? # % are written %40 %3A %2F %3F %23 %25.",
    ),
    (
        'database ".*" does not exist',
        "PostgreSQL at {place} has no database {database} ({name}). Have it made there: CREATE DATABASE "
        '"{database}" OWNER "{user}".',
    ),
    (
        'role ".*" does not exist',
        'PostgreSQL at {place} knows no user {user} ({name}). Have it made there: CREATE ROLE "{user}" LOGIN '
        "PASSWORD '...'.",
    ),
    (
        "no pg_hba.conf entry",
        "PostgreSQL at {place} lets {user} not in from this machine ({name}): its pg_hba.conf has no line for it. Ask "
        "who runs the server.",
    ),
    (
        "could not translate host name",
        "No machine is known by the name in {name} ({place}). Correct it, or look whether the network is up.",
    ),
    (
        "too many (connections|clients)|remaining connection slots",
        "PostgreSQL at {place} has no connection left for {user} ({name}). Raise max_connections there, or let fewer "
        "folds run at once.",
    ),
    (
        "starting up|shutting down|not yet accepting|in recovery mode",
        "PostgreSQL at {place} is just starting or stopping ({name}). Try again in a moment.",
    ),
    (
        "connection refused|no such file or directory|timeout expired|no route to host|network is unreachable"
        "|server closed the connection|terminating connection|connection timed out",
        "PostgreSQL at {place} is not reachable ({name}). Start it, or correct the address; what is recorded there "
        "waits until it is back.",
    ),
    (
        "permission denied",
        "{user} may not do in the database {database} at {place} what is needed ({name}). As an administrator there: "
        'ALTER DATABASE "{database}" OWNER TO "{user}".',
    ),
)
