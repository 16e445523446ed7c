"""Every error that this package raises on purpose.

A message is a full sentence: what is wrong, the value, where it came from, what to do. `core`, `nnunet`, `tracking` and
`reports` raise; only `assets` turns an error into a `dagster.Failure`, and only `cli` into an exit code.
"""

import difflib
import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class NnunetAssetsError(Exception):
    """The base of the tree: whatever a person can act on."""


class ConfigError(NnunetAssetsError):
    """A declaration (YAML, option, environment variable) is wrong."""


class DatasetError(NnunetAssetsError):
    """A raw dataset is missing, incomplete or contradicts its dataset.json."""


class NnunetVersionError(NnunetAssetsError):
    """The nnU-Net that is installed lacks what this package uses of it."""


class PlanningError(NnunetAssetsError):
    """Planning or preprocessing failed, or did not yield the wanted configuration."""


class ForeignCodeError(NnunetAssetsError):
    """Plans or a dataset.json name code that is neither nnU-Net's own nor named by the user."""


class FoldError(NnunetAssetsError):
    """A fold cannot be trained, or its training ended without a result."""


class SummaryError(NnunetAssetsError):
    """Fold results cannot be read, or must not be averaged with each other."""


class BehindError(SummaryError):
    """A record does not have the last result of a fold, so that it has no numbers to show: incomplete, not wrong."""


class AmbiguousMetricError(SummaryError, ValueError):
    """A name would mean two numbers: which of them is wanted has to be said."""


class NoCandidateError(SummaryError):
    """No model of a dataset has a complete summary to be chosen by: incomplete, not wrong."""


class EvaluationError(NnunetAssetsError):
    """Predictions cannot be compared with their references."""


class PackageError(NnunetAssetsError):
    """A model, or the package of one, cannot be used: incomplete, changed, or made of what must not be trusted."""


class PredictionError(NnunetAssetsError):
    """Images cannot be predicted: they are not those that the model knows, or no prediction came of them."""


class VerificationError(NnunetAssetsError):
    """What was to be verified is nothing that was exported."""


class SearchError(NnunetAssetsError):
    """A search ended without a result, or has none that could be taken."""


class TrackingError(NnunetAssetsError):
    """The tracking server or store does not answer, or refuses what it is asked."""


class NotMadeYetError(TrackingError):
    """The tracking store is still to be made: nothing was tracked so far, or it lies elsewhere."""


class LockingError(NnunetAssetsError):
    """A file system cannot lock files."""


class DeviceError(NnunetAssetsError):
    """The device asked for is not there."""


class DamagedFileError(NnunetAssetsError):
    """A file that this package or nnU-Net wrote does not hold what was written."""


class StorageError(NnunetAssetsError):
    """A disk or its file system refuses what has to be read or written."""


@contextmanager
def value_errors_too() -> Iterator[None]:
    """Makes what goes wrong a `ValueError` as well, of the same class and sentence: scripts of nnunet-tracker catch it.

    Only where scripts call: whoever catches `ValueError` in here means something else.
    """
    try:
        yield
    except NnunetAssetsError as error:
        if isinstance(error, ValueError):
            raise
        kind = type(error)
        named = {"__doc__": kind.__doc__, "__module__": kind.__module__}
        raise type(kind.__name__, (kind, ValueError), named)(str(error)) from error


_REMEDIES = {
    errno.ENOSPC: "Make room there; inodes may have run out too (`df -i`).",
    errno.EDQUOT: "The quota there is used up: make room, or have it raised.",
    errno.EROFS: "Have it mounted for writing, or use a folder elsewhere.",
    errno.EACCES: "Give this user the right to it, or use a folder elsewhere.",
    errno.EPERM: "Give this user the right to it, or use a folder elsewhere.",
    errno.EIO: "The disk or its network fails: look at the kernel's log (`dmesg`).",
}


@contextmanager
def storage_errors_in_words() -> Iterator[None]:
    """Turns an error of the file system that names its path into a `StorageError`; for what stands outermost alone.

    One without a path is of something else (a connection, a process) or a defect, and stays as it is.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        lines = error.object[: error.start].splitlines()[-1:] + error.object[error.start :].splitlines()[:1]
        raise StorageError(
            f"{''.join(lines)!r} cannot be written as {error.encoding} ({error.reason}). A file or folder of that name "
            "needs another one, unless this terminal's locale (LC_ALL, PYTHONUTF8) is what has no such letters."
        ) from error
    except RuntimeError as error:
        # What Python before 3.13 makes of a path that it resolves.
        if not str(error).startswith("Symlink loop"):
            raise
        raise StorageError(f"{error}: the link leads to itself. Remove it, or take another folder.") from error
    except shutil.SpecialFileError as error:  # has no number, and no path of its own
        raise StorageError(f"A file is needed: {error}. Put it back, or remove what lies there.") from error
    except OSError as error:
        _refuse_deleted_current_folder()
        if error.errno is None or not isinstance(error.filename, str | os.PathLike):
            raise
        path = Path(error.filename).absolute()
        mount = next(filter(_is_mount, (path, *path.parents)))
        remedy = _REMEDIES.get(error.errno, "")
        raise StorageError(
            f"{path} cannot be read or written: {error.strerror} (file system of {mount}). {remedy}".rstrip()
        ) from error


def _refuse_deleted_current_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise StorageError("The current folder is not there any more. Change to one that is (`cd`).") from error


def _is_mount(folder: Path) -> bool:
    try:
        return folder.is_mount()
    except OSError:  # in a folder that may not be looked into, or of too long a name
        return False


def first_offenders(offenders: Sequence[object], shown: int = 5) -> str:
    """Returns the first few offenders and the count of the others: "a, b, c, d, e and 7 more"."""
    text = ", ".join(str(offender) for offender in offenders[:shown])
    hidden = len(offenders) - shown
    return f"{text} and {hidden} more" if hidden > 0 else text


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Returns " Did you mean X?" where one of the known words is close, else nothing."""
    by_small_letters = {name.lower(): name for name in known}
    small = difflib.get_close_matches(str(word).lower(), by_small_letters, n=1, cutoff=0.8)
    close = difflib.get_close_matches(str(word), by_small_letters.values(), n=1)
    nearest = by_small_letters[small[0]] if small else close[0] if close else None
    return f" Did you mean {nearest}?" if nearest else ""
