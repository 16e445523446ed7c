"""What of a project only its owner may read: passwords in `.env`, the stores of runs, the key of the pseudonyms.

Folders of data and results are not among them: whoever shares a machine may well share those.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_FILES = (".env", "data/mlflow.db", "data/pseudonym_salt")
_DAGSTER_HOME = ".dagster"


def make_private(project: Path) -> list[str]:
    """Takes from others what they may read of these; returns a sentence for each file or folder that was open.

    One that belongs to somebody else is left as it is.
    """
    opened = [path for path in open_to_others(project) if _take(path)]
    for database in (project / _DAGSTER_HOME).rglob("*.db*"):
        _take(database)
    return [f"{path} could be read by other users of this machine; now only you can." for path in opened]


def open_to_others(project: Path) -> Iterator[Path]:
    """Yields the files and the folder that others may read. What lies in Dagster's folder is as private as that."""
    for path in (*(project / name for name in _FILES), project / _DAGSTER_HOME):
        if _is_open(path):
            yield path


def _is_open(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return _is_kept(mode) and bool(stat.S_IMODE(mode) & 0o077)


def _is_kept(mode: int) -> bool:
    """Says whether something keeps what is written: not so a device, such as /dev/null that a link leads to.

    What root takes from others there, the whole machine lacks.
    """
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _take(path: Path) -> bool:
    try:
        found = path.stat()
        if found.st_uid != os.geteuid() or not _is_kept(found.st_mode):
            return False
        path.chmod(0o700 if path.is_dir() else 0o600)
    except OSError:  # gone meanwhile, or a file system without modes
        return False
    return True
