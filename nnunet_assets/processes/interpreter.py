"""How a Python of ours starts: it imports what is installed, and nothing from the folder that somebody stands in.

`python -m` and `python -c` put the current folder before everything else, so that a `random.py` there takes over, or
breaks, every process that is started in it. What a user means to be imported has other doors: `PYTHONPATH` with whole
paths, `nnUNet_extTrainer`, the project's folder of experiments.
"""

import os
import sys
from collections.abc import Mapping

PYTHON_PATH = "PYTHONPATH"
SAFE_PATH = "PYTHONSAFEPATH"


def python_command(*arguments: str) -> list[str]:
    """Returns the call of this interpreter with these arguments; it does not look for modules in the current folder."""
    return [sys.executable, "-P", *arguments]


def with_safe_imports(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment in which no Python, nor any that it starts in turn, imports from the current folder.

    An empty entry of `PYTHONPATH`, as `export PYTHONPATH=$PYTHONPATH:/more` makes one, is the current folder too.
    """
    safe = {name: value for name, value in variables.items() if name != PYTHON_PATH}
    if whole := whole_paths(variables.get(PYTHON_PATH, "")):
        safe[PYTHON_PATH] = os.pathsep.join(whole)
    return {**safe, SAFE_PATH: "1"}


def whole_paths(python_path: str) -> list[str]:
    """Returns the entries of a `PYTHONPATH` that mean the same folder wherever somebody stands."""
    return [entry for entry in python_path.split(os.pathsep) if os.path.isabs(entry)]  # noqa: PTH117 (a text, no path)
