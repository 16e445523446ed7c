"""A real Ray of two nodes on this machine: a head, and a node beside it, with counted GPUs and processors.

Every node but the first needs ports of its own for its agents and its workers. `ray stop` would end every Ray of the
machine, whoever started it; here each process is ended by its id. The head's node has no GPU, so that it may be lost
without a fold; a third node can be added.
"""

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import psutil

FOLDER_VARIABLE = "NNUNET_ASSETS_REAL_RAY"
"""Every process of it inherits this one: so are they found, whoever their parent is by now."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    # The machine of the tests has few processors, which others use: workers begin when they are needed, and at once.
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}

START_SECONDS = 240


def lack() -> str | None:
    """Says why there can be no Ray here; None: there can."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is not installed: pip install 'nnunet_assets[ray]'"
    return None


@dataclass
class RealRay:
    """A Ray that runs.

    Attributes:
        folder: Where all of it lies.
        port: Of its head.
        job_server_port: Of its head's dashboard, which takes Ray's own jobs; None: it has none.
        asks_for_token: Whether it takes nobody without its token.
        nodes: By name, the raylet of each.
    """

    folder: Path
    port: int
    job_server_port: int | None = None
    asks_for_token: bool = False
    nodes: dict[str, psutil.Process] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where it is reached."""
        return f"127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """What finds it, and is let in."""
        return {"RAY_ADDRESS": self.address, **self._authentication}

    @property
    def _authentication(self) -> dict[str, str]:
        # Where nothing is said, a head asks for a token if its user's home has one, as after a Ray of their own.
        if not self.asks_for_token:
            return {"RAY_AUTH_MODE": "disabled"}
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token")}

    def node_command(self, name: str, *, gpus: int, cpus: int) -> list[str]:
        """Returns what starts a node, wherever it is called."""
        head = name == "head"
        first = 20000 + 200 * (len(self.nodes) + 3) + os.getpid() % 97 * 100
        where = ["--head", f"--port={self.port}"] if head else [f"--address={self.address}"]
        ports = {
            "min-worker-port": first,
            "max-worker-port": first + 90,
            "node-manager-port": _free_port(),
            "object-manager-port": _free_port(),
            "dashboard-agent-listen-port": _free_port(),
            "dashboard-agent-grpc-port": _free_port(),
            "runtime-env-agent-port": _free_port(),
            "metrics-export-port": _free_port(),
        }
        dashboard = ["--dashboard-host=127.0.0.1", f"--dashboard-port={self.job_server_port}"]
        has_dashboard = dashboard if self.job_server_port else ["--include-dashboard=false"]
        return [
            *[sys.executable, "-m", "ray.scripts.scripts", "start", *where, "--node-ip-address=127.0.0.1"],
            *[f"--{option}={port}" for option, port in ports.items()],
            *[f"--num-gpus={gpus}", f"--num-cpus={cpus}", f"--node-name={name}", f'--resources={{"{name}": 100}}'],
            *["--object-store-memory=80000000", "--disable-usage-stats"],
            *([*has_dashboard, f"--temp-dir={self.folder}"] if head else []),
        ]

    @property
    def node_variables(self) -> dict[str, str]:
        """What a node is started with, by which it is found again."""
        return {**QUIET, **self._authentication, FOLDER_VARIABLE: str(self.folder)}

    def add_node(self, name: str, *, gpus: int = 2, cpus: int = 8, **variables: str) -> None:
        """Starts a node, and waits until it is there; `variables` go before what every node is started with."""
        known = set(self._raylets())
        done = subprocess.run(
            self.node_command(name, gpus=gpus, cpus=cpus),
            env={**os.environ, **self.node_variables, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (pid,) = set(self._raylets()) - known
        self.nodes[name] = psutil.Process(pid)
        assert variables.items() <= self.nodes[name].environ().items()

    def kill_node(self, name: str) -> None:
        """Kills the raylet of a node, and nothing else of it."""
        raylet = self.nodes.pop(name)
        raylet.kill()
        raylet.wait(10)

    def gcs(self) -> psutil.Process:
        """Returns the process that is the head's own."""
        (found,) = [one for one in self.processes() if "gcs_server" in _name_of(one)]
        return found

    def processes(self) -> list[psutil.Process]:
        """Returns every living process of it."""
        return [one for one in psutil.process_iter() if _folder_of(one) == str(self.folder)]

    def _raylets(self) -> list[int]:
        return [one.pid for one in self.processes() if _name_of(one) == "raylet"]


@contextmanager
def real_ray(
    variables: Mapping[str, str] = MappingProxyType({}), *, job_server: bool = False, asks_for_token: bool = False
) -> Iterator[RealRay]:
    """Yields a Ray of its own, with the nodes `head` and `n1`; no process of it is left afterwards.

    Args:
        variables: Of the environment of both nodes.
        job_server: Whether its head takes Ray's own jobs, for which `ray[default]` must be installed.
        asks_for_token: Whether it takes nobody without its token.
    """
    # A socket's path has a hundred letters at most.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    ray = RealRay(folder, _free_port(), _free_port() if job_server else None, asks_for_token)
    (folder / "token").write_text(secrets.token_hex(32))
    try:
        ray.add_node("head", gpus=0, cpus=0, **variables)
        ray.add_node("n1", gpus=2, cpus=8, **variables)
        yield ray
    finally:
        until = time.monotonic() + 20
        while (left := ray.processes()) and time.monotonic() < until:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.2)
        shutil.rmtree(folder, ignore_errors=True)


def _name_of(process: psutil.Process) -> str:
    try:
        return Path(process.cmdline()[0]).name
    except (psutil.Error, IndexError):
        return ""


def _folder_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(FOLDER_VARIABLE)
    except psutil.Error:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
