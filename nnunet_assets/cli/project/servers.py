"""`dev`, `up` and `down`: Dagster's webserver and daemon, and MLflow beside them, for one project.

`dev` runs them in the foreground, `up` in the background until `down`. A fold that trains belongs to none of them: it
goes on when they stop.
"""

import logging
import os
import shlex
import signal
import subprocess
import sysconfig
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR
from nnunet_assets.cli.project import background
from nnunet_assets.cli.project.server_output import shown_output
from nnunet_assets.cli.project.server_processes import (
    HOST,
    START_SECONDS,
    Server,
    ServerError,
    in_foreground,
    is_running,
    refuse_taken_ports,
    wait_until_up,
)
from nnunet_assets.cli.project_option import folder_or_project
from nnunet_assets.cli.terminal import TerminalProgress
from nnunet_assets.core.files.kept_ports import Ports, chosen_ports, keep_ports
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.text.postgres_url import is_postgres
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError, first_offenders
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.processes.interpreter import PYTHON_PATH, python_command, with_safe_imports
from nnunet_assets.processes.machine.other_users import other_users
from nnunet_assets.processes.variables import MLFLOW_UI_VARIABLE, PROJECT_VARIABLE
from nnunet_assets.project_folder.daemon_lock import held_command, starting
from nnunet_assets.project_folder.dagster_home import ensure_instance
from nnunet_assets.project_folder.instance_state import forget_signs_of_daemon
from nnunet_assets.project_folder.moved_project import settle
from nnunet_assets.project_folder.network_drives import network_sentences
from nnunet_assets.project_folder.private_files import make_private
from nnunet_assets.project_folder.running_daemons import find_daemon, refuse_second_daemon, second_daemons
from nnunet_assets.project_folder.workspace_file import stop_importing_from_project
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.tracking.training_pages import APP_NAME

PORTS = click.IntRange(1, 65535)
WATCH_SECONDS = 30.0
STORE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"


@click.command()
@folder_or_project
@click.option("--port", type=PORTS, help="Port of Dagster's web UI.  [default: the last one; 3000 at first]")
@click.option("--mlflow-port", type=PORTS, help="Port of MLflow's web UI.  [default: the last one; 5000 at first]")
def dev(folder: Path, port: int | None, mlflow_port: int | None) -> None:
    """Run Dagster's web UI and MLflow for the project in FOLDER until Ctrl-C."""
    settings, progress = _checked_settings(folder), TerminalProgress()
    ports = chosen_ports(settings.project, port, mlflow_port)
    page = f"http://{HOST}:{ports.dagster}"
    arguments = ["dagster", "dev", "-h", HOST, "-p", str(ports.dagster)]
    dagster = held_command(settings.dagster_home, "nnunet-assets dev", page, *arguments)
    servers = [*_mlflow(settings, ports.mlflow), Server("dagster", dagster, f"{page}/server_info", is_daemon=True)]
    logs = [background.log_file(settings.project, server.name) for server in servers]
    with ExitStack() as stack:
        show_rest = stack.enter_context(shown_output(logs))
        with starting(settings.dagster_home, seconds=2 * START_SECONDS):
            _make_ready(settings)
            refuse_second_daemon(settings.project, progress)
            refuse_taken_ports(servers)
            _make_store(settings)
            stack.callback(_forget_daemon, settings)
            environment = _environment(settings, f"http://{HOST}:{ports.mlflow}")
            running = stack.enter_context(in_foreground(servers, settings.project, environment, logs))
            for server, process, log in zip(servers, running, logs, strict=True):
                wait_until_up(settings.dagster_home, server, process.pid, partial(is_running, process), log)
        show_rest()
        keep_ports(settings.project, ports)
        click.echo(f"Ctrl-C stops both; folds that train go on. All that they print: {logs[0].parent}")
        click.echo(_welcome(settings, {server.name: server.url for server in servers}))
        if code := _wait(running[-1], settings, progress):
            raise ServerError(f"`dagster dev` ended with exit code {code}; what it printed is in {logs[-1]}.")


@click.command()
@folder_or_project
@click.option("--port", type=PORTS, help="Port of Dagster's web UI.  [default: the last one; 3000 at first]")
@click.option("--mlflow-port", type=PORTS, help="Port of MLflow's web UI.  [default: the last one; 5000 at first]")
def up(folder: Path, port: int | None, mlflow_port: int | None) -> None:
    """Start web UI, daemon and MLflow for the project in FOLDER, detached from this terminal.

    What runs already is left running, on the port that it has.
    """
    settings = _checked_settings(folder)
    start_in_background(settings, port, mlflow_port)
    click.echo(f"Logs: {settings.project / 'run'}. Stop with: nnunet-assets down {shlex.quote(str(folder))}")


def start_in_background(settings: Settings, port: int | None = None, mlflow_port: int | None = None) -> None:
    """Starts what of a project's servers does not run in the background yet, and prints where the pages are."""
    progress, ports = TerminalProgress(), chosen_ports(settings.project, port, mlflow_port)
    servers = _background_servers(settings, ports)
    with starting(settings.dagster_home, seconds=2 * START_SECONDS):
        _make_ready(settings)
        running = {server.name: background.find(settings.project, server.name) for server in servers}
        missing = [server for server in servers if running[server.name] is None]
        if running["daemon"] is None:
            refuse_second_daemon(settings.project, progress)
        refuse_taken_ports(missing)
        for server in missing:
            if left := background.find_elsewhere(settings.project, server.name):
                progress.warn(
                    f"{server.name} was started on {left.host}, too (process {left.pid}), and nothing here tells "
                    "whether it still runs there. If it does, end it there by its number."
                )
        if any(server.name == "mlflow" for server in missing):
            _make_store(settings)
        mlflow = running.get("mlflow")
        environment = _environment(settings, _page(mlflow.url) if mlflow else f"http://{HOST}:{ports.mlflow}")
        started = {
            server.name: running[server.name]
            or background.start(settings.project, server.name, server.command, url=server.url, environment=environment)
            for server in servers
        }
        for server in missing:
            process, log = started[server.name], background.log_file(settings.project, server.name)
            wait_until_up(settings.dagster_home, server, process.pid, process.is_alive, log)
    urls = {name: process.url for name, process in started.items()}
    now_on = {
        page: urlsplit(urls.get(name) or "").port for page, name in (("dagster", "webserver"), ("mlflow", "mlflow"))
    }
    keep_ports(settings.project, chosen_ports(settings.project, **now_on))
    for sentence in second_daemons(settings.project):
        progress.warn(sentence)
    click.echo(_welcome(settings, urls))
    if any(process.unit for process in started.values()):
        click.echo("They end when you log out everywhere; to keep them: loginctl enable-linger")


def _background_servers(settings: Settings, ports: Ports) -> list[Server]:
    # The whole path tells the servers of two projects apart.
    workspace = ["-w", str(settings.project / "workspace.yaml")]
    page = f"http://{HOST}:{ports.dagster}"
    webserver = python_command("-m", "dagster_webserver", *workspace, "-h", HOST, "-p", str(ports.dagster))
    daemon = held_command(settings.dagster_home, "nnunet-assets up", page, "dagster._daemon", "run", *workspace)
    return [
        *_mlflow(settings, ports.mlflow),
        Server("webserver", webserver, f"{page}/server_info"),
        Server("daemon", daemon, None, is_daemon=True),
    ]


@click.command()
@folder_or_project
def down(folder: Path) -> int:
    """Stop what `up` started for the project in FOLDER; folds that train go on.

    Ends with 1 where `up` was called on another machine: processes are stopped on their own one.
    """
    settings = project_settings(folder)
    elsewhere = False
    for name in ("webserver", "daemon", "mlflow"):
        if left := background.find_elsewhere(settings.project, name):
            elsewhere = True
            click.echo(
                f"{name} was started on {left.host} (process {left.pid}), and this is {host_name()}. Stop it there: "
                f"nnunet-assets down {shlex.quote(str(settings.project))}. If that machine is gone, delete "
                f"{background.record_file(settings.project, name)}."
            )
            continue
        was_running = background.stop(settings.project, name)
        click.echo(f"Stopped {name}." if was_running else f"{name} is not running.")
        if was_running and name == "daemon":
            _forget_daemon(settings)
    if (other := find_daemon(settings.project)) and not elsewhere:
        click.echo(f"{other.who} runs on, which `up` did not start. {other.remedy}")
    return ERROR if elsewhere else DONE


def _wait(server: "subprocess.Popen[bytes]", settings: Settings, progress: Progress) -> int:
    """Waits until a server ends, and returns its exit code; says meanwhile who else works on its instance."""
    said: set[str] = set()
    while True:
        try:
            return server.wait(WATCH_SECONDS)
        except subprocess.TimeoutExpired:
            # Dagster itself takes no lock, so that nothing keeps it from starting beside this.
            for sentence in second_daemons(settings.project):
                if sentence not in said:
                    progress.warn(sentence)
                    said.add(sentence)


def _forget_daemon(settings: Settings) -> None:
    """Has the next start not wait for a sign of the daemon that was ended just now."""
    # A database that is down keeps nobody from stopping what else runs.
    with suppress(ConfigError):
        if find_daemon(settings.project) is None:
            forget_signs_of_daemon(settings.project)


def _checked_settings(folder: Path) -> Settings:
    """Checks the project's declarations and returns its settings."""
    settings = project_settings(folder)
    read_project(settings.project)
    return settings


def _make_ready(settings: Settings) -> None:
    """Makes the project's Dagster instance where there is none, and nothing of it open to others."""
    if moved := settle(settings):
        click.echo(moved)
    ensure_instance(settings.project)
    for sentence in [*make_private(settings.project), *network_sentences(settings), *loopback_sentences()]:
        click.echo(sentence)
    if changed := stop_importing_from_project(settings.project):
        click.echo(changed)
    answer_signals()


def loopback_sentences() -> list[str]:
    """Returns what is said where other people can reach the pages: on a login node, that is."""
    others = other_users()
    if not others:
        return []
    return [
        f"Others are at work on this machine ({first_offenders(others)}), and whoever is logged in here reaches the "
        "pages, where runs are started and ended in your name. `Login nodes` in docs/hosts.md says what to do."
    ]


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
        # For `mlflow server`: its environment others cannot read, its command line they can.
        **({STORE_VARIABLE: settings.tracking_uri} if is_postgres(settings.tracking_uri) else {}),
    }


def _imports(settings: Settings) -> dict[str, str]:
    """Returns the settings' variables, by which none of the servers imports from the current folder."""
    variables = with_safe_imports(settings.variables)
    if path := variables.get(PYTHON_PATH):
        # While Dagster imports a code location, it leaves the first entry out, as if it were the current folder.
        variables[PYTHON_PATH] = os.pathsep.join([os.devnull, path])
    return variables


def _mlflow(settings: Settings, port: int) -> list[Server]:
    """Returns the server that shows the project's tracking store; none where the store is a server already."""
    if not _has_own_store(settings):
        return []
    command = ["mlflow", "server", "--host", HOST, "--port", str(port)]
    if not is_postgres(settings.tracking_uri):
        command += ["--backend-store-uri", settings.tracking_uri]
    command += ["--artifacts-destination", str(settings.artifacts), "--workers", "1"]
    # uvicorn puts the current folder before everything else, unless it is given another one.
    command += ["--uvicorn-opts", f"--app-dir={shlex.quote(sysconfig.get_path('stdlib'))}"]
    # A package that was installed before it had its own pages is not known to MLflow by them.
    if entry_points(group="mlflow.app", name=APP_NAME):
        command += ["--app-name", APP_NAME]
    return [Server("mlflow", python_command("-m", *command), f"http://{HOST}:{port}/health")]


def _make_store(settings: Settings) -> None:
    """Opens the project's store once: two first openings at once, by server and run, would ruin it for good."""
    if _has_own_store(settings):
        from nnunet_assets.tracking.store.client import connect
        from nnunet_assets.tracking.store.destination import Destination

        # Else it tells about each of its tables.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        connect(Destination.of(settings))


def _has_own_store(settings: Settings) -> bool:
    """Tells whether runs go into a database from here, of which nobody shows pages yet."""
    return settings.tracking_uri.startswith("sqlite:") or is_postgres(settings.tracking_uri)


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
