"""The folder in which processes of one user on one machine find each other."""

import os
import stat
import tempfile
from pathlib import Path

from nnunet_assets.errors import DeviceError


def user_folder() -> Path:
    """Returns the folder, which is made where it is missing.

    Raises:
        DeviceError: Somebody else has made it.
    """
    folder = Path(tempfile.gettempdir()) / f"nnunet_assets-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise DeviceError(f"{folder}, in which processes find each other, belongs to somebody else. Remove it.")
    return folder
