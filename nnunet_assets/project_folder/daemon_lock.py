"""The lock of a project's one daemon, which its process holds as long as it lives, however it ends.

Dagster itself lets two daemons work on one instance: each run is started twice, each sensor asked twice. On disk, in
DAGSTER_HOME: `daemon.lock`, `daemon.owner.json` (who held it last) and `starting.lock` (held while servers start).

As a program it takes the lock and becomes Dagster's own, in the same process: neither the runs that this starts nor
the shell that it comes from hold the lock beside it.
"""

import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import Timeout

from nnunet_assets.core.files.json_file import JsonError, read_json_bytes, write_json_atomically
from nnunet_assets.core.files.kernel_lock import is_owned, kernel_lock, owner_lock
from nnunet_assets.core.files.typed_json import dataclass_from_json, dataclass_to_json
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.processes.interpreter import python_command

LOCK, OWNER, STARTING = "daemon.lock", "daemon.owner.json", "starting.lock"


@dataclass(frozen=True)
class DaemonOwner:
    """The process that holds the lock.

    Attributes:
        host: The name of its machine.
        process: Its number there.
        since: When it took the lock, in ISO format with the time zone.
        command: What the user typed: `nnunet-assets dev`.
        page: Dagster's web UI.
    """

    host: str
    process: int
    since: str
    command: str
    page: str


UNKNOWN = DaemonOwner("unknown host", 0, "", "", "")
"""Whoever holds a lock beside which nothing readable stands."""


def held_command(home: Path, command: str, page: str, module: str, *arguments: str) -> list[str]:
    """Returns the call that runs a module of Dagster's as the daemon, in a process that holds the lock.

    Args:
        home: DAGSTER_HOME.
        command: As in `DaemonOwner`.
        page: Likewise.
        module: `dagster` or `dagster._daemon`.
        arguments: Its own.
    """
    return python_command("-m", __name__, str(home), command, page, module, *arguments)


def lock_owner(home: Path) -> DaemonOwner | None:
    """Returns who holds the lock; None: nobody, and a file that says who did is an old one."""
    return last_owner(home) or UNKNOWN if is_owned(home / LOCK) else None


def last_owner(home: Path) -> DaemonOwner | None:
    """Returns who held the lock last, and may do so on a machine whose locks are not seen here; None: nobody knows."""
    try:
        return dataclass_from_json(DaemonOwner, read_json_bytes(home / OWNER))
    except (OSError, JsonError):
        return None


@contextmanager
def starting(home: Path, seconds: float) -> Iterator[None]:
    """Keeps all others from starting servers until those of this process hold the lock, or are given up.

    Args:
        home: DAGSTER_HOME.
        seconds: How long another start may take.

    Raises:
        NnunetAssetsError: It takes longer.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = kernel_lock(home / STARTING, timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        raise NnunetAssetsError(
            f"Another `nnunet-assets dev` or `up` has been starting servers for more than {seconds:.0f} s in "
            f"{home.parent}. Look at what it prints, or end it."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _become(home: Path, command: str, page: str, module: str, arguments: Sequence[str]) -> None:
    lock = owner_lock(home / LOCK)
    try:
        lock.acquire()
    except Timeout:
        sys.exit(f"Another process holds {home / LOCK}: a daemon of this instance runs already.")
    owner = DaemonOwner(host_name(), os.getpid(), datetime.now(UTC).isoformat(), command, page)
    write_json_atomically(home / OWNER, dataclass_to_json(owner))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _, _home, _command, _page, _module, *_arguments = sys.argv
    _become(Path(_home), _command, _page, _module, _arguments)
