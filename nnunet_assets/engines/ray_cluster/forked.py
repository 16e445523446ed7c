"""A driver of Ray's that another process forks, see `forker.py`, and the connection by which it is spoken to.

The connection is the driver's standard input, by which it is told words and that nobody speaks to it any more, and its
end is the driver's. Supervisors of one user on one machine share the process that forks, where what Ray finds at its
start is the same: a socket in their folder leads to it, whoever of them started it.
"""

import hashlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.regular_file import open_to_append
from nnunet_assets.engines.ray_cluster.driver_files import DRIVER_LOG_FILE
from nnunet_assets.processes.interpreter import python_command
from nnunet_assets.processes.machine.user_folder import user_folder

FORKER_MODULE = "nnunet_assets.engines.ray_cluster.forker"
LOAD_SECONDS = 90.0
"""How long Ray may take to be imported, on a slow disk."""
READ_AT_START = ("RAY_", "PYTHON", "LD_")
"""How variables begin that Python, or Ray, reads when it is loaded."""
OF_MACHINE = ("/proc/self/ns/mnt", "/proc/self/ns/pid")
"""A container's processes, and those of others, may share a folder for temporary files, and nothing else."""


@dataclass
class ForkedDriver:
    """A driver, as who supervises its job has it.

    Attributes:
        connection: Its standard input.
        pid: Of its process.
    """

    connection: socket.socket
    pid: int

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone."""
        return self._ends_within(0)

    def say(self, word: str) -> None:
        """Sends a word; a driver that has ended needs none."""
        with suppress(OSError):
            self.connection.sendall(f"{word}\n".encode())

    def end(self, seconds: float) -> None:
        """Ends its input, which ends it; after so many seconds it is killed."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)  # also where another process has inherited the connection
        if not self._ends_within(seconds):
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._ends_within(seconds)
        self.connection.close()

    def _ends_within(self, seconds: float) -> bool:
        # It writes nothing: what can be read is the end.
        return bool(select.select([self.connection], [], [], seconds)[0])


def forked_driver(folder: Path, variables: Mapping[str, str]) -> ForkedDriver:
    """Returns a new driver of the job in a folder.

    Args:
        folder: The job's.
        variables: Its environment.

    Raises:
        ChildProcessError: It cannot be started; what was printed is in the job's log.
    """
    request = json.dumps({"folder": str(folder), "variables": dict(variables)}).encode() + b"\n"
    for _ in range(2):  # the one that forks may be about to end, since its last driver has
        connection = _connection(_name(variables), folder, variables)
        connection.settimeout(LOAD_SECONDS)
        try:
            connection.sendall(request)
            pid = connection.recv(100)
        except TimeoutError:
            connection.close()
            raise ChildProcessError(f"Ray is not imported within {LOAD_SECONDS:.0f} s") from None
        except ConnectionError:
            pid = b""
        if pid:
            connection.settimeout(None)
            return ForkedDriver(connection, int(pid))
        connection.close()
        time.sleep(0.1)
    raise ChildProcessError("The process that forks Ray's drivers has ended")


def _name(variables: Mapping[str, str]) -> str:
    """Returns the name of the socket by which those find each other that may share a process."""
    ray = importlib.util.find_spec("ray")
    code = [Path(file).stat().st_mtime_ns for file in (__file__, ray and ray.origin) if file]
    read = sorted((name, value) for name, value in variables.items() if name.startswith(READ_AT_START))
    machine = [os.readlink(link) for link in OF_MACHINE]  # noqa: PTH115 (no path)
    # What ends a group of processes, as at the end of a session, ends those of no other group.
    group = Path("/proc/self/cgroup").read_text()
    parts = json.dumps([sys.executable, code, read, machine, group])
    return f"ray-{hashlib.sha256(parts.encode()).hexdigest()[:16]}"


def _connection(name: str, folder: Path, variables: Mapping[str, str]) -> socket.socket:
    place = user_folder()
    with _short(place) as short:
        if there := _connected(f"{short}/{name}"):
            return there
        with kernel_lock(place / f"{name}.lock"):
            if there := _connected(f"{short}/{name}"):
                return there
            (place / name).unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as asked:
                asked.bind(f"{short}/{name}")
                asked.listen(1000)
                _start(asked, folder / DRIVER_LOG_FILE, variables)
                if there := _connected(f"{short}/{name}"):
                    return there
    raise ChildProcessError("The process that forks Ray's drivers has ended")


def _start(asked: socket.socket, log_file: Path, variables: Mapping[str, str]) -> None:
    with open_to_append(log_file) as log:
        subprocess.run(
            python_command("-u", "-m", FORKER_MODULE),
            env=dict(variables),
            stdin=asked.fileno(),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        )


def _connected(path: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except (FileNotFoundError, ConnectionError):
        connection.close()
        return None
    return connection


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Yields another name of a folder, however long its own is: that of a socket has a hundred letters at most."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
