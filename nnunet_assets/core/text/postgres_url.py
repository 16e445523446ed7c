"""What the URL of a PostgreSQL database says, as SQLAlchemy and libpq read it, shown without its password.

SQLAlchemy 2.1 reads a plain `postgresql://` as psycopg 3; what Dagster and MLflow bring along is psycopg2.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from nnunet_assets.errors import ConfigError

DRIVER = "postgresql+psycopg2"
_PLAIN = ("postgres", "postgresql")
_SECONDS = "connect_timeout=10"
"""Else a machine that is down, and answers with nothing, is waited for two minutes."""

PATTERN = f"{DRIVER}://<user>:<password>@<host>:5432/<database>"
"""With brackets: what looks like a password is masked wherever a message is shown."""


@dataclass(frozen=True)
class PostgresUrl:
    """A database by its URL.

    Attributes:
        driver: What stands before `://`.
        rest: What stands behind; it holds the password.
        user: Empty: libpq takes the name of the process's user.
        host: Its name, or the folder of its socket; empty: libpq's own.
        port: 5432 where none is named.
        database: Its name, never empty.
    """

    driver: str
    rest: str
    user: str
    host: str
    port: int
    database: str

    def __str__(self) -> str:
        """Returns it without a password: `nnunet@db.example:5432/dagster`."""
        at = f"{self.user}@" if self.user else ""
        return f"{at}{self.host or 'the local socket'}:{self.port}/{self.database}"

    def __repr__(self) -> str:
        return f"PostgresUrl({self})"

    @property
    def driver_problem(self) -> str | None:
        """What is wrong with how it is written, behind the variable's name; None: SQLAlchemy takes psycopg2."""
        if self.driver == DRIVER:
            return None
        taken = "psycopg 3" if self.driver == "postgresql" else "no driver at all"
        return f"begins with {self.driver}://, for which SQLAlchemy 2.1 takes {taken}. Write {DRIVER}:// in its place."

    @property
    def for_sqlalchemy(self) -> str:
        """The URL with psycopg2, and with a bound of how long a connection may take unless it has one."""
        return f"{DRIVER}://{self.rest}" if "connect_timeout" in self.rest else f"{DRIVER}://{_with(self.rest)}"

    @property
    def for_dotenv(self) -> str:
        """The same as a value of a `.env`, where some characters would end it or name a variable."""
        return "".join(quote(letter, "") if letter in "$'\"\\` #" else letter for letter in self.for_sqlalchemy)

    @property
    def for_libpq(self) -> str:
        """The same as psycopg2 itself reads it."""
        return self.for_sqlalchemy.replace(DRIVER, "postgresql", 1)

    def is_same_database(self, other: "PostgresUrl") -> bool:
        """Tells whether both are one database, as far as their names say."""
        return (self.host, self.port, self.database) == (other.host, other.port, other.database)


def is_postgres(url: str) -> bool:
    """Tells whether a URL is one of PostgreSQL, with any driver."""
    return "://" in url and url.partition("://")[0].partition("+")[0].lower() in _PLAIN


def read_postgres_url(text: str, name: str) -> PostgresUrl:
    """Returns what a URL says.

    Args:
        text: It.
        name: The variable that holds it; the text itself is in no message.

    Raises:
        ConfigError: It is none of PostgreSQL, or cannot be read as one.
    """
    text = text.strip()
    driver, _, rest = text.partition("://")
    if not is_postgres(text):
        shown = f"begins with {driver[:20]!r}" if rest and re.fullmatch(r"[\w.+-]+", driver) else "is no URL"
        raise ConfigError(f"{name} {shown}, and is to be the URL of a PostgreSQL database: {PATTERN}.")
    if driver.lower() not in (*_PLAIN, DRIVER):
        raise ConfigError(
            f"{name} names the driver {driver.partition('+')[2][:20]!r}. Dagster and MLflow are run here with "
            f"psycopg2: write {PATTERN}."
        )
    problem = None
    try:
        parts = urlsplit(f"postgresql://{rest}")
        port = parts.port or 5432
    except ValueError:
        problem, port, parts = "its port is no number", 0, urlsplit("")
    # A password with / ? or # in it ends the part where it may stand.
    if problem is None and ("@" in parts.path or "@" in parts.query or parts.fragment or parts.netloc.count("@") > 1):
        problem = "a character of its user or password stands for an end of it"
    if problem:
        raise ConfigError(
            f"{name} cannot be read: {problem}. In user and password write @ as %40, : as %3A, / as %2F, ? as %3F, "
            f"# as %23 and % as %25: {PATTERN}."
        )
    query = dict(parse_qsl(parts.query))
    database = unquote(parts.path.removeprefix("/")) or query.get("dbname", "")
    if not database:
        raise ConfigError(f"{name} names no database: {PATTERN}.")
    host = query.get("host") or unquote(parts.hostname or "")
    user = unquote(parts.username or "") or query.get("user", "")
    return PostgresUrl(driver.lower(), rest, user, host, int(query.get("port") or port), database)


def _with(rest: str) -> str:
    return f"{rest}{'&' if '?' in rest else '?'}{_SECONDS}"
