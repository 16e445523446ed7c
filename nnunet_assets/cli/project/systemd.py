"""Servers as units of the user's systemd, where there is one: they outlive the terminal and the shell's session.

A transient unit needs no file. `KillMode=process` ends the server alone: the folds that it started go on. Without a
user's systemd (a container, macOS) `servers` starts detached processes instead.
"""

import hashlib
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnunet_assets.errors import NnunetAssetsError

_SECONDS = 60


def is_available() -> bool:
    """Tells whether this user has a systemd that takes orders."""
    try:
        asked = subprocess.run(
            ["systemctl", "--user", "show-environment"], capture_output=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def unit_name(project: Path, server: str) -> str:
    """Returns the unit of one server of one project: `nnunet-assets-1f2e3d4c-webserver`."""
    return f"nnunet-assets-{hashlib.sha256(str(project).encode()).hexdigest()[:8]}-{server}"


def start_command(
    unit: str, command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]
) -> list[str]:
    """Returns the call of `systemd-run` that starts a command, to be made with the same environment.

    Variables go by name alone, so that no password shows in the list of processes; shell functions, whose names systemd
    refuses, stay behind.
    """
    names = [name for name in environment if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)]
    # Type=exec: the call returns when the command runs, so that its process has its own name.
    properties = ["Type=exec", "KillMode=process", f"WorkingDirectory={folder}", *_output_to(log)]
    return [
        *("systemd-run", "--user", "--quiet", "--collect", f"--unit={unit}"),
        *(argument for text in properties for argument in ("-p", text)),
        *(f"--setenv={name}" for name in names),
        "--",
        *command,
    ]


def start(unit: str, command: Sequence[str], *, folder: Path, log: Path, environment: Mapping[str, str]) -> int:
    """Starts a command as a unit and returns its process id.

    Raises:
        NnunetAssetsError: systemd refuses.
    """
    _run(start_command(unit, command, folder=folder, log=log, environment=environment), environment)
    return int(_run(["systemctl", "--user", "show", "--property=MainPID", "--value", unit], environment))


def stop(unit: str) -> None:
    """Stops a unit's server and waits for its end; what the server started goes on.

    Raises:
        NnunetAssetsError: systemd refuses.
    """
    _run(["systemctl", "--user", "stop", unit])


def _output_to(log: Path) -> list[str]:
    return [f"StandardOutput=append:{log}", f"StandardError=append:{log}"]


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=_SECONDS,
    )
    if done.returncode:
        raise NnunetAssetsError(f"`{' '.join(command[:2])} ... {command[-1]}` failed: {done.stderr.strip()}")
    return done.stdout.strip()
