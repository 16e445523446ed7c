"""The kernel lock of a fold: `nnunet_assets/fold_k.lock` beside the folds, held by the process that trains it.

Beside it, `fold_k.owner.json` names who held it last.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from filelock import BaseFileLock, Timeout

from nnunet_assets.core.files.json_file import readable_json, write_json_atomically
from nnunet_assets.core.files.kernel_lock import owner_lock
from nnunet_assets.core.files.layout import FoldPlace
from nnunet_assets.errors import FoldError
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.host_name import host_name
from nnunet_assets.processes.supervisor import FoldFailed


@contextmanager
def fold_lease(place: FoldPlace) -> Iterator[None]:
    """Holds the fold for this process; a kernel lock, free the moment its owner dies.

    Whoever holds it may take it again: a caller that does something about the fold before `run_fold` (opens its MLflow
    run, say) takes it first.

    Raises:
        FoldFailed: Another living process holds it; the message names it.
        FoldError: Its file is another user's.
    """
    place.lock.parent.mkdir(parents=True, exist_ok=True)
    owner_file, lock = place.lock.with_suffix(".owner.json"), owner_lock(place.lock)
    try:
        acquire(lock)
    except Timeout as error:
        owner = readable_json(owner_file)
        raise FoldFailed(
            f"{place.fold} is being trained by another process: {owner.get('host', 'unknown host')}, process "
            f"{owner.get('process', 'unknown')}, since {owner.get('since', 'unknown')}. Wait for it, or end it.",
            ExitCode.OWNED,
            "",
        ) from error
    try:
        write_json_atomically(
            owner_file,
            {"host": host_name(), "process": os.getpid(), "since": datetime.now(UTC).isoformat()},
        )
        yield
    finally:
        lock.release()


def acquire(lock: BaseFileLock) -> None:
    """Takes the lock.

    Raises:
        Timeout: Another process holds it.
        FoldError: It is another user's.
    """
    try:
        lock.acquire()
    except PermissionError as error:
        raise FoldError(
            f"{lock.lock_file} cannot be written: it or its folder belongs to another user, so that nobody can tell "
            "whether the fold is being trained. Have them made writable for both (`chmod g+w`, and `umask 002` for "
            "those to come), or use a results folder of your own."
        ) from error
