"""A request that the tests send to small processes."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TinyRequest:
    """What such a process is asked: the fold, where it asks for one."""

    fold: str = ""


def with_modules_of(folder: Path) -> dict[str, str]:
    """Returns this process's environment, in which modules of a folder and the tests' own can be imported.

    An editable installation shows the package alone.
    """
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (folder, Path(__file__).parents[1])))}
