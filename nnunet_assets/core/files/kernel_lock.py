"""Locks that the kernel holds: free the moment their owner dies, whatever ends it.

A file system may have none (some network drives). filelock's fallback there, a marker file, would stay for ever once
its owner is killed: here it is an error that says so.

Both are `flock(2)` and keep each other out. `kernel_lock` waits with a limit, and its holder may take it again; for
what that cannot do there is `flock`: readers that share a lock, and a look at a lock file that must not be made by it.
"""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout  # noqa: TID251 - wrapped here

from nnunet_assets.errors import LockingError

PROBE_SECONDS = 1.0
"""How long the lock of an owner may be held by somebody who only looks whether it is."""


class _KernelLock(FileLock):
    def acquire(self, *args: Any, **options: Any) -> Any:
        with _explained(self.lock_file):
            return super().acquire(*args, **options)


def kernel_lock(path: Path | str, timeout: float = -1, *, is_singleton: bool = False) -> FileLock:
    """Returns a lock of a file, which is made where it is missing; used as filelock's own.

    Args:
        path: The file.
        timeout: Seconds until `acquire` raises `filelock.Timeout`; negative: it waits for ever.
        is_singleton: Whether the process has one lock for a path, which its holder may take again.
    """
    return _KernelLock(path, timeout=timeout, is_singleton=is_singleton, fallback_to_soft=False)


def owner_lock(path: Path) -> FileLock:
    """Returns the lock by which one process owns something for long; it may take it again."""
    return kernel_lock(path, timeout=PROBE_SECONDS, is_singleton=True)


def is_owned(path: Path) -> bool:
    """Says whether another process holds an owner's lock; where nobody can tell, none is known to."""
    if owner_lock(path).is_locked:
        return False
    try:
        with path.open("rb") as file:  # filelock opens it to write, so that a look would change its time
            flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, LockingError):
        return False
    return False


@contextmanager
def held_alone(path: Path, refusal: Exception) -> Iterator[None]:
    """Holds the lock of a file, which is made with its folder; where another process holds it, `refusal` is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = kernel_lock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise refusal from None
    try:
        yield
    finally:
        lock.release()


def flock(file: IO[Any], kind: int) -> None:
    """Locks an open file as `fcntl.flock` does.

    Raises:
        BlockingIOError: Another process holds it, and `kind` says not to wait.
        LockingError: Its file system has no locks.
    """
    with _explained(file.name):
        fcntl.flock(file, kind)  # noqa: TID251 - wrapped here


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}:
            raise
        raise LockingError(
            f"The file system of {path} cannot lock files ({error.strerror}), without which two processes could write "
            "over each other. Put the folder on a local disk, or have the network drive mounted with locks."
        ) from error
