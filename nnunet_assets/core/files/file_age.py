"""How old a file is, by the clock that stamps the files beside it: on a network drive its server's, not this machine's.

What another machine is just writing looks old to one whose clock is ahead, and would be taken for left behind.
"""

import os
import tempfile
import time
from pathlib import Path


def age_seconds(path: Path) -> float:
    """Returns how long ago a file, or what lies in a folder, was changed.

    Raises:
        FileNotFoundError: It is not there.
    """
    changed = path.stat().st_mtime
    return _now_beside(path) - changed


def _now_beside(path: Path) -> float:
    try:
        with tempfile.TemporaryFile(dir=path.parent) as stamped:
            return os.fstat(stamped.fileno()).st_mtime
    except OSError:  # full, or not this user's to write in
        return time.time()
