"""The processes of a project's servers: started, waited for until they answer, and ended."""

import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import click
import psutil

from nnunet_assets.core.files.regular_file import open_to_append
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.project_folder.daemon_lock import lock_owner

HOST = "127.0.0.1"
START_SECONDS = 90


class ServerError(NnunetAssetsError):
    """A server did not start, or its port is taken."""


@dataclass(frozen=True)
class Server:
    """One server of a project.

    Attributes:
        name: `mlflow`, `daemon`, `webserver` or `dagster`, which is the two in one.
        command: Program and arguments.
        url: A page that answers once the server is up; None: it has none.
        is_daemon: Whether it works on the instance, alone, and holds its lock once it is up.
    """

    name: str
    command: Sequence[str]
    url: str | None
    is_daemon: bool = False


@contextmanager
def in_foreground(
    servers: Sequence[Server], folder: Path, environment: Mapping[str, str], logs: Sequence[Path]
) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Runs servers in a folder until the end of the block, or Ctrl-C in it; each prints into a file of its own."""
    # A terminal sends Ctrl-C to its whole session: in sessions of their own, servers end and folds that train do not.
    running: list[subprocess.Popen[bytes]] = []
    try:
        for server, log in zip(servers, logs, strict=True):
            log.parent.mkdir(parents=True, exist_ok=True)
            with open_to_append(log) as output:
                server_process = subprocess.Popen(
                    server.command,
                    cwd=folder,
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            running.append(server_process)
        yield running
    except KeyboardInterrupt:
        click.echo("Stopping. Folds that train go on.")
    finally:
        for process in reversed(running):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()
            _end_left_behind(process.pid)


def _end_left_behind(session: int) -> None:
    """Ends the web UI and the daemon that a `dagster dev` left, which somebody killed; runs that it started go on."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == session and {"dagster_webserver", "dagster._daemon"} & set(process.cmdline()):
                process.terminate()


def is_running(process: "subprocess.Popen[bytes]") -> bool:
    """Tells whether a process that was started here has not ended."""
    return process.poll() is None


def refuse_taken_ports(servers: Sequence[Server]) -> None:
    """Refuses to start servers of which another program has the port."""
    for server in servers:
        if server.url is None:
            continue
        port = urlsplit(server.url).port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise ServerError(
                    f"Port {port}, which {server.name} needs, is taken by {_holder(port)}. Stop it, or choose another "
                    "port with --port or --mlflow-port."
                ) from error


def _holder(port: int | None) -> str:
    """Names the process that listens on a port, as far as this user may know it."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,) and connection.pid:
                return f"process {connection.pid} (`{shlex.join(psutil.Process(connection.pid).cmdline())[:80]}`)"
    return "another program"


def wait_until_up(home: Path, server: Server, pid: int, is_alive: Callable[[], bool], log: Path | None = None) -> None:
    """Waits until a server's page answers, and until it holds the daemon's lock if it is one.

    Args:
        home: DAGSTER_HOME of its project.
        server: It.
        pid: Its process.
        is_alive: Tells whether it runs.
        log: Where it prints; None: to the terminal.

    Raises:
        ServerError: It ended, or does not answer in time.
    """
    printed = f"what it printed is in {log}" if log else "what it printed says why"
    deadline = time.monotonic() + START_SECONDS
    while True:
        # Asked first: what answers on the port of a server that has ended is another program.
        if not is_alive():
            raise ServerError(f"{server.name} ended while it started; {printed}.")
        owner = lock_owner(home) if server.is_daemon else None
        is_owner = owner is not None and owner.process == pid
        if (is_owner or not server.is_daemon) and (server.url is None or answers(server.url)):
            return
        if time.monotonic() > deadline:
            asked = f"does not answer at {server.url}" if server.url else "does not work"
            raise ServerError(f"{server.name} {asked} after {START_SECONDS} s; {printed}.")
        time.sleep(0.3)


def answers(url: str) -> bool:
    """Tells whether a page is there."""
    # Whatever proxy the environment names, it does not lead to this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False
