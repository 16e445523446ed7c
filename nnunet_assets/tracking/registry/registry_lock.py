"""One writer of the registry at a time, and what it writes is read back.

Measured with MLflow 3.17 on SQLite: six threads that register versions and set an alias at once lose 12 of 30 to
`UNIQUE constraint failed: registered_model_aliases`. Our own lock lies beside the store, or beside the project's
artifacts where a server has it; writers on other machines are met by reading back and trying again.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import Timeout

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.errors import NnunetAssetsError, TrackingError
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explain, scheme
from nnunet_assets.tracking.store.sqlite_store import database_path

LOCK_SECONDS = 120.0
"""How long to wait for other writers: each takes less than a second."""

ATTEMPTS = 5
_FIRST_WAIT_SECONDS = 0.2

_Result = TypeVar("_Result")


@contextmanager
def registry_lock(destination: Destination) -> Iterator[None]:
    """Holds the registry alone, as far as this machine writes to it.

    Raises:
        TrackingError: Another process does not give it free.
    """
    with held(lock_folder(destination) / "model_registry.lock", LOCK_SECONDS, "writes to the model registry"):
        yield


@contextmanager
def held(file: Path, seconds: float, what: str) -> Iterator[None]:
    """Holds the lock of a file, which is made with its folder.

    Raises:
        TrackingError: Another process holds it for too long.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = kernel_lock(file, timeout=seconds)
    try:
        lock.acquire()
    except Timeout as error:
        raise TrackingError(
            f"Another process {what} for {seconds:g} s; it holds {file}. Wait for it, or end it, and try again."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def package_alone(destination: Destination, digest: str, seconds: float) -> Iterator[None]:
    """Holds what registers or clears a package alone.

    Raises:
        TrackingError: Another process holds it for longer than these seconds.
    """
    with held(lock_of_package(destination, digest), seconds, "registers this package, or clears it,"):
        yield


def lock_of_package(destination: Destination, digest: str) -> Path:
    """Returns the lock of whoever registers or clears a package.

    The empty file stays: were it removed, who waits for it and who makes it anew would both have it.
    """
    return lock_folder(destination) / "model_uploads" / f"{digest[:16]}.lock"


def lock_of_model(destination: Destination, name: str) -> Path:
    """Returns the lock of what decides on a model's champion, which takes longer than writing it."""
    return lock_folder(destination) / "model_champions" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def lock_folder(destination: Destination) -> Path:
    """Returns where the locks lie: beside an SQLite store, which several projects may share."""
    if scheme(destination.tracking_uri) == "sqlite":
        return database_path(destination.tracking_uri).parent
    return destination.artifacts.parent


def persisted(write: Callable[[], object], read_back: Callable[[], _Result | None], tracking_uri: str) -> _Result:
    """Returns what is read back of what was written; written again where it is not there, a few times.

    Args:
        write: May fail although it was done, or be lost although it did not fail.
        read_back: None: it is not there.
        tracking_uri: Whose registry it is.

    Raises:
        TrackingError: It is refused, or still not there after the last attempt.
    """
    problem = "it took what was written, and does not have it"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(_FIRST_WAIT_SECONDS * 2**attempt)
        try:
            found = read_back()
            if found is not None:
                return found
            write()
            found = read_back()
            if found is not None:
                return found
        except NnunetAssetsError:
            raise
        except Exception as error:
            failure = explain(error, tracking_uri)
            if failure.cause != "unreachable" or attempt == ATTEMPTS - 1:
                raise TrackingError(failure.sentence) from error
            problem = failure.sentence
    raise TrackingError(f"The model registry cannot be written to: {problem}. Try again later.")
