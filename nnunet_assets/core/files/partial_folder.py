"""A folder that takes its name when it is whole, and what killed processes left of folders that never were.

Until then it is a hidden folder beside, `.NAME.partial-...`, and a lock file of that name says that its process lives:
a kernel lock, free the moment its owner dies.
"""

import fcntl
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nnunet_assets.core.files.atomic_files import fsync_path, fsync_tree
from nnunet_assets.core.files.file_age import age_seconds
from nnunet_assets.core.files.kernel_lock import flock

_PARTIAL = re.compile(r"\..+\.partial-[0-9a-f]{8}")
_LOCK = ".lock"
_LOCKING_SECONDS = 60.0
"""A lock file without its folder that is younger may be about to be locked."""


@contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `folder` when the block ends without an error.

    An error removes it; what a killed process or a power loss leaves, `remove_abandoned` removes.

    Raises:
        OSError: It cannot be made, or there is a folder of the name with something in it.
    """
    partial = _partial_of(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _owned(partial):
        try:
            partial.mkdir()
            yield partial
            fsync_tree(partial)  # the rename must not reach the disk before what it names
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    fsync_path(folder.parent)


@contextmanager
def scratch_folder(near: Path) -> Iterator[Path]:
    """Yields an empty folder on the disk of `near`, hidden beside it, which is removed in the end.

    What a killed process leaves of it, `remove_abandoned` removes.
    """
    partial = _partial_of(near)
    near.parent.mkdir(parents=True, exist_ok=True)
    with _owned(partial):
        try:
            partial.mkdir()
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def remove_abandoned(parent: Path) -> list[str]:
    """Removes the partial folders whose process is gone, and returns their names, sorted.

    Raises:
        OSError: One cannot be removed.
    """
    removed = []
    for partial in sorted(path for path in parent.glob(".*") if _PARTIAL.fullmatch(path.name)):
        lock = _lock_of(partial)
        # A folder without its lock file is nobody's: the file is there first, and goes last.
        if not lock.exists() or _is_free(lock):
            with suppress(FileNotFoundError):  # it became whole meanwhile
                shutil.rmtree(partial)
                removed.append(partial.name)
            lock.unlink(missing_ok=True)
    for lock in parent.glob(f".*{_LOCK}"):
        with suppress(FileNotFoundError):
            is_old = age_seconds(lock) > _LOCKING_SECONDS
            if _PARTIAL.fullmatch(lock.name.removesuffix(_LOCK)) and is_old and _is_free(lock):
                lock.unlink()
    return removed


def _partial_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial-{secrets.token_hex(4)}")


@contextmanager
def _owned(partial: Path) -> Iterator[None]:
    lock = _lock_of(partial)
    with lock.open("w") as file:
        flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}{_LOCK}")


def _is_free(lock: Path) -> bool:
    try:
        with lock.open("r+") as file:
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:  # its owner is done
        return False
    except BlockingIOError:
        return False
    return True
