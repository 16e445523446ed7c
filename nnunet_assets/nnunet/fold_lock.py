"""The kernel lock of a fold: `nnunet_assets/fold_k.lock` beside the folds, held by the process that trains it."""

from filelock import BaseFileLock

from nnunet_assets.errors import FoldError

PROBE_SECONDS = 1.0
"""How long the lock may be held by somebody who only looks whether it is."""


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
