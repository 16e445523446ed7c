"""`dev`, `up` and `down`: Dagster's webserver and daemon, and MLflow beside them, for one project.

`dev` runs them in the foreground, `up` in the background until `down`. A fold that trains belongs to none of them: it
goes on when they stop.
"""

import logging
import os
import shlex
import signal
import socket
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import click

from nnunet_assets.cli.project import background
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.interpreter import PYTHON_PATH, python_command, with_safe_imports
from nnunet_assets.processes.variables import MLFLOW_UI_VARIABLE, PROJECT_VARIABLE
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.private_files import make_private
from nnunet_assets.project_folder.workspace_file import stop_importing_from_project
from nnunet_assets.settings import Settings, project_settings

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
    settings = _prepare(folder)
    dagster = python_command("-m", "dagster", "dev", "-h", HOST, "-p", str(port))
    servers = [*_mlflow(settings, mlflow_port), Server("dagster", dagster, f"http://{HOST}:{port}/server_info")]
    _refuse_taken_ports(servers)
    _make_store(settings)
    environment = _environment(settings, f"http://{HOST}:{mlflow_port}")
    # A terminal sends Ctrl-C to its whole session: in sessions of their own, servers end and folds that train do not.
    running = [
        subprocess.Popen(server.command, cwd=settings.project, env=environment, start_new_session=True)
        for server in servers
    ]
    try:
        for server, process in zip(servers, running, strict=True):
            _wait_until_up(server.name, server.url, partial(_runs, process))
        click.echo(_welcome(settings, {server.name: server.url for server in servers}))
        if code := running[-1].wait():
            raise ServerError(f"`dagster dev` ended with exit code {code}; what it printed says why.")
    except KeyboardInterrupt:
        click.echo("Stopping. Folds that train go on.")
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
    """Start web UI, daemon and MLflow for the project in FOLDER, detached from this terminal.

    What runs already is left running, on the port that it has.
    """
    settings = _prepare(folder)
    # The whole path tells the servers of two projects apart.
    workspace = ["-w", str(settings.project / "workspace.yaml")]
    webserver = python_command("-m", "dagster_webserver", *workspace, "-h", HOST, "-p", str(port))
    servers = [
        *_mlflow(settings, mlflow_port),
        Server("webserver", webserver, f"http://{HOST}:{port}/server_info"),
        # Last: it has no page, and shows only while the others start that it does not run.
        Server("daemon", python_command("-m", "dagster._daemon", "run", *workspace), None),
    ]
    running = {server.name: background.find(settings.project, server.name) for server in servers}
    missing = [server for server in servers if running[server.name] is None]
    _refuse_taken_ports(missing)
    if any(server.name == "mlflow" for server in missing):
        _make_store(settings)
    mlflow = running.get("mlflow")
    environment = _environment(settings, _page(mlflow.url) if mlflow else f"http://{HOST}:{mlflow_port}")
    started = {
        server.name: running[server.name]
        or background.start(settings.project, server.name, server.command, url=server.url, environment=environment)
        for server in servers
    }
    for name, process in started.items():
        _wait_until_up(name, process.url, process.is_alive, background.log_file(settings.project, name))
    click.echo(_welcome(settings, {name: process.url for name, process in started.items()}))
    click.echo(f"Logs: {settings.project / 'run'}. Stop with: nnunet-assets down {folder}")
    if any(process.unit for process in started.values()):
        click.echo("They end when you log out everywhere; to keep them: loginctl enable-linger")


@click.command()
@click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
def down(folder: Path) -> None:
    """Stop what `up` started for the project in FOLDER; folds that train go on."""
    settings = project_settings(folder)
    for name in ("webserver", "daemon", "mlflow"):
        was_running = background.stop(settings.project, name)
        click.echo(f"Stopped {name}." if was_running else f"{name} is not running.")


def _prepare(folder: Path) -> Settings:
    """Checks the project and returns its settings; makes its Dagster instance where there is none."""
    settings = project_settings(folder)
    read_project(settings.project)
    ensure_instance(settings.project)
    for sentence in make_private(settings.project):
        click.echo(sentence)
    if changed := stop_importing_from_project(settings.project):
        click.echo(changed)
    answer_signals()
    return settings


def answer_signals() -> None:
    """Makes a kill, and a terminal that is closed, end the servers of `dev` as Ctrl-C does.

    A shell without job control starts programs with SIGINT ignored. Servers would inherit that, and Dagster gives
    SIGTERM what SIGINT has: nothing but SIGKILL would end them. SIGHUP stays ignored where it is: that is `nohup`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _environment(settings: Settings, mlflow_page: str) -> dict[str, str]:
    return {
        **_imports(settings),
        PROJECT_VARIABLE: str(settings.project),
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Jobs of MLflow's own (evaluations of language models) would take ten processes of 240 MB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        MLFLOW_UI_VARIABLE: settings.variables.get(MLFLOW_UI_VARIABLE) or mlflow_page,
    }


def _imports(settings: Settings) -> dict[str, str]:
    """Returns the settings' variables, by which none of the servers imports from the current folder."""
    variables = with_safe_imports(settings.variables)
    if path := variables.get(PYTHON_PATH):
        # While Dagster imports a code location, it leaves the first entry out, as if it were the current folder.
        variables[PYTHON_PATH] = os.pathsep.join([os.devnull, path])
    return variables


def _mlflow(settings: Settings, port: int) -> list[Server]:
    """Returns the server that shows the project's own tracking store; none where the store is a server already."""
    if not _has_own_store(settings):
        return []
    command = ["mlflow", "server", "--backend-store-uri", settings.tracking_uri, "--host", HOST, "--port", str(port)]
    command += ["--artifacts-destination", str(settings.artifacts), "--workers", "1"]
    # uvicorn puts the current folder before everything else, unless it is given another one.
    command += ["--uvicorn-opts", f"--app-dir={shlex.quote(sysconfig.get_path('stdlib'))}"]
    return [Server("mlflow", python_command("-m", *command), f"http://{HOST}:{port}/health")]


def _make_store(settings: Settings) -> None:
    """Opens the project's own store once: two first openings at once, by server and run, would ruin it for good."""
    if _has_own_store(settings):
        from nnunet_assets.tracking.store.client import connect
        from nnunet_assets.tracking.store.destination import Destination

        # Else it tells about each of its tables.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        connect(Destination.of(settings))


def _has_own_store(settings: Settings) -> bool:
    return settings.tracking_uri.startswith("sqlite:")


def _refuse_taken_ports(servers: Sequence[Server]) -> None:
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
                    f"Port {port}, which {server.name} needs, is taken by another program. Stop it, or choose another "
                    "port with --port or --mlflow-port."
                ) from error


def _wait_until_up(name: str, url: str | None, is_alive: Callable[[], bool], log: Path | None = None) -> None:
    """Waits until the server's page answers; without a page, looks once whether the server runs.

    Args:
        log: Where it prints; None: to the terminal.

    Raises:
        ServerError: It ended, or does not answer in time.
    """
    printed = f"what it printed is in {log}" if log else "what it printed says why"
    deadline = time.monotonic() + START_SECONDS
    while True:
        # Asked first: what answers on the port of a server that has ended is another program.
        if not is_alive():
            raise ServerError(f"{name} ended while it started; {printed}.")
        if url is None or _answers(url):
            return
        if time.monotonic() > deadline:
            raise ServerError(f"{name} does not answer at {url} after {START_SECONDS} s; {printed}.")
        time.sleep(0.3)


def _answers(url: str) -> bool:
    # Whatever proxy the environment names, it does not lead to this machine.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, HTTPException):
        return False


def _runs(process: "subprocess.Popen[bytes]") -> bool:
    return process.poll() is None


def _page(url: str | None) -> str:
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc}"


def _welcome(settings: Settings, urls: Mapping[str, str | None]) -> str:
    from nnunet_assets.core.text.redaction import redacted

    pages = {"mlflow": "MLflow", "dagster": "Dagster", "webserver": "Dagster"}
    lines = [f"{pages[name]:8} {_page(url)}" for name, url in urls.items() if name in pages]
    if not _has_own_store(settings):
        lines.insert(0, f"MLflow   {redacted(settings.tracking_ui)}")
    return "\n".join(lines)
