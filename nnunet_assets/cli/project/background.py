"""Processes that outlive the terminal: started, found again by a record in the project's `run`, and stopped.

On disk, in `run/`: `NAME.json` (process, its machine, command, page, unit of systemd if it is one) and `NAME.log`. The
folder may be shared by several machines: a number means a process on its own one alone.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from nnunet_assets.cli.project import systemd
from nnunet_assets.core.files.json_file import read_json_bytes, write_json_atomically
from nnunet_assets.core.files.regular_file import open_to_append
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.host_name import host_name

STOP_SECONDS = 30


@dataclass(frozen=True)
class Background:
    """A process that was started.

    Attributes:
        pid: Its number, which another process may have by now.
        command: What it runs; with the number, it tells whether it is still the same.
        url: A page that answers once it is up; None: it has none.
        unit: systemd's unit; None: a detached process.
        host: The machine that it was started on; None: an earlier version, which meant this one, wrote none.
    """

    pid: int
    command: list[str]
    url: str | None
    unit: str | None
    host: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether this is the machine that it was started on."""
        return self.host in (None, host_name())

    def is_alive(self) -> bool:
        """Tells whether it runs on this machine; a process that ended and that nobody waited for does not."""
        try:
            return self.is_here and psutil.Process(self.pid).cmdline() == self.command
        except psutil.Error:
            return False


def log_file(project: Path, name: str) -> Path:
    """Returns where a process writes what it prints."""
    return project / "run" / f"{name}.log"


def find(project: Path, name: str) -> Background | None:
    """Returns the process of that name; None where it does not run on this machine.

    Raises:
        NnunetAssetsError: Its record cannot be read, so that nobody can say whether it runs.
    """
    found = _recorded(project, name)
    return found if found and found.is_alive() and _works_in(found, project) else None


def _works_in(process: Background, project: Path) -> bool:
    """Says whether a process is this project's, and not that of one from which the record was copied."""
    try:
        return Path(psutil.Process(process.pid).cwd()).samefile(project)
    except (psutil.Error, OSError):
        return False


def find_elsewhere(project: Path, name: str) -> Background | None:
    """Returns the process of that name that another machine started, and which runs there unless it ended.

    Raises:
        NnunetAssetsError: As `find`.
    """
    found = _recorded(project, name)
    return found if found and not found.is_here else None


def _recorded(project: Path, name: str) -> Background | None:
    record = record_file(project, name)
    try:
        return dataclass_from_json(Background, read_json_bytes(record))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise NnunetAssetsError(
            f"{record} is damaged or of another version, so nobody can say whether {name} runs ({error}). Stop {name} "
            "by hand if it does, and delete the file."
        ) from error


def start(
    project: Path, name: str, command: Sequence[str], *, url: str | None, environment: Mapping[str, str]
) -> Background:
    """Starts a process in the project's folder, as a unit of the user's systemd where there is one."""
    log = log_file(project, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    unit = systemd.unit_name(project, name) if systemd.is_available() else None
    if unit:
        pid = systemd.start(unit, command, folder=project, log=log, environment=environment)
    else:
        pid = _detached(command, project, log, environment)
    started = Background(pid, list(command), url, unit, host_name())
    write_json_atomically(record_file(project, name), asdict(started))
    return started


def stop(project: Path, name: str) -> bool:
    """Ends a process, and not what it started; tells whether it ran."""
    found = find(project, name)
    if found is None:
        return False
    if found.unit:
        systemd.stop(found.unit)
    else:
        _end(found)
    record_file(project, name).unlink(missing_ok=True)
    return True


def record_file(project: Path, name: str) -> Path:
    """Returns where stands which process it is."""
    return project / "run" / f"{name}.json"


def _detached(command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str]) -> int:
    with open_to_append(log) as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ).pid


def _end(found: Background) -> None:
    process = psutil.Process(found.pid)
    process.terminate()
    # Not process.wait: in a container whose first process reaps nobody, it would wait in vain.
    deadline = time.monotonic() + STOP_SECONDS
    while found.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    if found.is_alive():
        process.kill()
