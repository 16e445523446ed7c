"""`dev`, `up` and `down`: Dagster's webserver and daemon, and MLflow beside them, for one project.

`dev` runs them in the foreground. `up` starts them detached from the terminal and `down` stops them; a fold that
trains is a process of its own and goes on through both.
"""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import psutil

from nnunet_assets.cli.project_settings import project_settings
from nnunet_assets.core.provenance import write_json_atomically
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.instance_files import ensure_instance
from nnunet_assets.project import read_project
from nnunet_assets.settings import MLFLOW_UI_VARIABLE, PROJECT_VARIABLE, Settings

HOST = "127.0.0.1"
START_SECONDS = 90


class ServerError(NnunetAssetsError):
    """A server did not start, or its port is taken."""


@dataclass(frozen=True)
class Server:
    """One server of a project.

    Attributes:
        name: `webserver`, `daemon` or `mlflow`.
        command: Program and arguments.
        url: A page that answers once the server is up; None: it has none.
    """

    name: str
    command: Sequence[str]
    url: str | None


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--port", default=3000, show_default=True, help="Port of Dagster's web UI.")
@click.option("--mlflow-port", default=5000, show_default=True, help="Port of MLflow's web UI.")
def dev(folder: Path, port: int, mlflow_port: int) -> None:
    """Run Dagster's web UI and MLflow for the project in FOLDER until Ctrl-C."""
    settings, environment = _prepare(folder, mlflow_port)
    servers = [
        *_mlflow(settings, mlflow_port),
        Server("dagster", _dagster("dev", "-h", HOST, "-p", str(port)), f"http://{HOST}:{port}/server_info"),
    ]
    _refuse_taken_ports(servers)
    running = [subprocess.Popen(server.command, cwd=settings.project, env=environment) for server in servers]
    try:
        for server, process in zip(servers, running, strict=True):
            _wait_until_up(server, partial(_is_running, process))
        click.echo(_welcome(servers))
        running[-1].wait()
    finally:
        for process in reversed(running):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--port", default=3000, show_default=True, help="Port of Dagster's web UI.")
@click.option("--mlflow-port", default=5000, show_default=True, help="Port of MLflow's web UI.")
def up(folder: Path, port: int, mlflow_port: int) -> None:
    """Start web UI, daemon and MLflow for the project in FOLDER, detached from this terminal."""
    settings, environment = _prepare(folder, mlflow_port)
    servers = [
        *_mlflow(settings, mlflow_port),
        Server("daemon", [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"], None),
        Server(
            "webserver",
            [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "-h", HOST, "-p", str(port)],
            f"http://{HOST}:{port}/server_info",
        ),
    ]
    for server in servers:
        process = _running(settings, server.name)
        if process is None:
            _refuse_taken_ports([server])
            process = _start_detached(settings, server, environment)
        _wait_until_up(server, partial(_is_alive, process))
    click.echo(_welcome(servers))
    click.echo(f"Logs: {_run_folder(settings)}. Stop with: nnunet-assets down {folder}")


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def down(folder: Path) -> None:
    """Stop what `up` started for the project in FOLDER; folds that train go on."""
    settings = project_settings(folder)
    for name in ("webserver", "daemon", "mlflow"):
        process = _running(settings, name)
        if process is None:
            click.echo(f"{name} is not running.")
            continue
        process.terminate()
        try:
            process.wait(30)
        except psutil.TimeoutExpired:
            process.kill()
        _pid_file(settings, name).unlink(missing_ok=True)
        click.echo(f"Stopped {name}.")


def _prepare(folder: Path, mlflow_port: int) -> tuple[Settings, dict[str, str]]:
    """Checks the project and returns its settings, with the environment that its servers get."""
    settings = project_settings(folder)
    read_project(settings.project)
    ensure_instance(settings.project)
    # A shell without job control starts programs with SIGINT ignored, and they would pass that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return settings, {
        **settings.variables,
        PROJECT_VARIABLE: str(settings.project),
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        MLFLOW_UI_VARIABLE: settings.variables.get(MLFLOW_UI_VARIABLE) or f"http://{HOST}:{mlflow_port}",
    }


def _dagster(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dagster", *arguments]


def _mlflow(settings: Settings, port: int) -> list[Server]:
    """Returns the server that shows the project's own tracking store; none where the store is a server already."""
    if not settings.tracking_uri.startswith("sqlite:"):
        return []
    # The store must exist before the server: two first openings at once ruin it for good.
    from nnunet_assets.tracking.client import connect

    connect(settings.tracking_uri, settings.artifacts)
    command = ["mlflow", "server", "--backend-store-uri", settings.tracking_uri, "--host", HOST, "--port", str(port)]
    command += ["--artifacts-destination", str(settings.artifacts), "--workers", "1"]
    return [Server("mlflow", [sys.executable, "-m", *command], f"http://{HOST}:{port}/health")]


def _refuse_taken_ports(servers: Sequence[Server]) -> None:
    for server in servers:
        if server.url is None:
            continue
        port = int(server.url.split(":")[2].split("/")[0])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise ServerError(
                    f"Port {port}, which {server.name} needs, is taken by another program. Stop it, or choose another "
                    "port with --port or --mlflow-port."
                ) from error


def _start_detached(settings: Settings, server: Server, environment: Mapping[str, str]) -> psutil.Process:
    folder = _run_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{server.name}.log").open("ab") as log:
        child = subprocess.Popen(
            server.command,
            cwd=settings.project,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = psutil.Process(child.pid)
    write_json_atomically(
        _pid_file(settings, server.name), {"process": child.pid, "created": process.create_time(), "url": server.url}
    )
    return process


def _running(settings: Settings, name: str) -> psutil.Process | None:
    """Returns the server's process; None where it ended, whoever has its number now."""
    try:
        record = json.loads(_pid_file(settings, name).read_text())
        process = psutil.Process(record["process"])
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    is_same = abs(process.create_time() - record["created"]) < 1
    return process if is_same and _is_alive(process) else None


def _is_running(process: "subprocess.Popen[bytes]") -> bool:
    return process.poll() is None


def _is_alive(process: psutil.Process) -> bool:
    # A child that ended and was not waited for still has its number: a zombie.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _run_folder(settings: Settings) -> Path:
    return settings.project / "run"


def _pid_file(settings: Settings, name: str) -> Path:
    return _run_folder(settings) / f"{name}.json"


def _wait_until_up(server: Server, is_alive: Callable[[], bool]) -> None:
    """Waits until the server's page answers.

    Raises:
        ServerError: It ended, or does not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while server.url and not _answers(server.url):
        if not is_alive():
            raise ServerError(f"{server.name} ended while it started; what it printed says why.")
        if time.monotonic() > deadline:
            raise ServerError(f"{server.name} does not answer at {server.url} after {START_SECONDS} s.")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own http URL on loopback
            return bool(response.status == 200)
    except OSError:
        return False


def _welcome(servers: Sequence[Server]) -> str:
    pages = {"mlflow": "MLflow", "dagster": "Dagster", "webserver": "Dagster"}
    lines = [f"{pages[s.name]:8} http://{s.url.split('/')[2]}" for s in servers if s.url and s.name in pages]
    return "\n".join(lines)
