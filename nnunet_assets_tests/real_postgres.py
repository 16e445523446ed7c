"""A real PostgreSQL in a temporary folder, on a free port, which a test may stop, kill and start again."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "nnunet", "s3cret w/ord@#?"
QUOTED_PASSWORD = "s3cret%20w%2Ford%40%23%3F"


def _programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are: Debian has them outside of PATH."""
    found = shutil.which("initdb")
    places = [*([Path(found).resolve().parent] if found else []), *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    return next((place for place in reversed(places) if (place / "pg_ctl").exists()), None)


def why_not() -> str | None:
    """Why there is no PostgreSQL here; None: there is one."""
    if _programs() is None:
        return "PostgreSQL's initdb and pg_ctl are not installed (Debian: apt-get install postgresql)"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed (pip install 'nnunet_assets[postgres]')"
    return None


class PostgresServer:
    """A server with one user, `nnunet`, who may make databases and has a password."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._programs = folder, _programs()
        self.port = _free_port()
        # PostgreSQL refuses to run as root.
        self._as: Mapping[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        passwords = folder / "passwords"
        passwords.write_text(PASSWORD)
        passwords.chmod(0o644)
        self._run(
            *("initdb", "--pgdata", str(folder / "db"), "--username", USER, "--pwfile", str(passwords), "--no-sync"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
        )

    def start(self, *settings: str) -> None:
        """Starts it; settings such as `max_connections=20`."""
        given = (f"port={self.port}", f"unix_socket_directories={self.folder}", "fsync=off", *settings)
        options = " ".join(f"-c {setting}" for setting in ("listen_addresses=127.0.0.1", *given))
        log = ("--log", str(self.folder / "log"))
        self._run("pg_ctl", "--pgdata", str(self.folder / "db"), "--wait", *log, "--options", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """Ends it: `fast` as an administrator does, `immediate` as a machine that goes down."""
        self._run("pg_ctl", "--pgdata", str(self.folder / "db"), "--wait", "--mode", mode, "stop")

    @property
    def is_running(self) -> bool:
        return (self.folder / "db" / "postmaster.pid").exists()

    def url(
        self, database: str, *, password: str = QUOTED_PASSWORD, user: str = USER, driver: str = "+psycopg2"
    ) -> str:
        return f"postgresql{driver}://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def make(self, *databases: str) -> None:
        for database in databases:
            self.execute("postgres", f'CREATE DATABASE "{database}"')

    def execute(self, database: str, command: str) -> list[Any]:
        """What an administrator does: runs a command, and returns its rows."""
        import psycopg2

        connection = psycopg2.connect(self.url(database, driver=""))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(command)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        # What it prints goes to a file: the server inherits a pipe, which then never ends.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                **self._as,
            )
            output.seek(0)
            assert done.returncode == 0, output.read().decode()


@contextmanager
def postgres_server(*settings: str) -> Iterator[PostgresServer]:
    """A server that runs until the end of the block; skips the test, saying why, where there can be none."""
    if reason := why_not():
        pytest.skip(reason)
    # Not pytest's folder: nobody but its user may look into that. In memory where there is such a place.
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="nnunet_assets-pg-", dir=place) as folder:
        Path(folder).chmod(0o755)
        server = PostgresServer(Path(folder))
        server.start(*settings)
        try:
            yield server
        finally:
            if server.is_running:
                server.stop("immediate")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
