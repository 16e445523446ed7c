"""Which commands a warm Python starts alike: those of this interpreter that import nnU-Net or torch, and that alone."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

OF_NNUNET = {
    "-m": re.compile(r"nnunetv2\.|nnunet_assets\.nnunet\..*_process$"),
    "-c": re.compile(r"^(?!.*sys\.modules).*^(?:import|from) (?:nnunetv2|torch)\b", re.DOTALL | re.MULTILINE),
}
"""What imports nnU-Net or torch, and does not ask whether it did."""

FLAGS = frozenset({"-P", "-u"})
OF_PYTHON = ("PYTHON", "LD_", "OMP_NUM_THREADS")
"""Variables that a Python or its libraries read at their start, by how they begin; `PYTHONPATH` may hold other ones."""

SAFE_PATH = "PYTHONSAFEPATH"


def read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables in which a Python that is there already must not differ."""
    return {
        name: value
        for name, value in variables.items()
        if value and name.startswith(OF_PYTHON) and name not in (SAFE_PATH, "PYTHONUNBUFFERED")
    }


def main_of(command: list[str]) -> tuple[str, str, int] | None:
    """Returns what a command of this Python runs: `-m`, `-c` or a script, which, and where its arguments begin.

    None: it imports no nnU-Net, or is none that a Python which is there already could run.
    """
    if not command:
        return None
    if command[0].startswith(f"{Path(sys.executable).parent}{os.sep}nnUNetv2_"):
        return "script", command[0], 1
    at = next((index for index, word in enumerate(command) if index and word not in FLAGS), 0)
    kind, what = command[at], "".join(command[at + 1 : at + 2])
    is_ours = command[0] == sys.executable and kind in OF_NNUNET and OF_NNUNET[kind].match(what)
    return (kind, what, at + 2) if is_ours else None
