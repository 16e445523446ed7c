"""What a job runs, whichever queue starts it: a script of bash, and the variables of the fold's process.

Nothing that a user wrote becomes shell text: the script holds names of modules and of files, quoted, and values of
variables are quoted.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from nnunet_assets.engines.job_files import ENVIRONMENT_FILE
from nnunet_assets.engines.job_queue import JobOrder
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.interpreter import python_command

NODES_OWN = re.compile(
    r"SLURM.*|SBATCH_.*|SRUN_.*|PBS_.*|LSB_.*|RAY_.*|\w+_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"
    r"|HOSTNAME|TMPDIR|TMP|TEMP|XDG_RUNTIME_DIR|DAGSTER_PIPES_.*"
)
"""Variables that say something of the machine where a process runs: those of the supervisor's stay there."""

_FIND_MODULES = """\
if ! type module > /dev/null 2>&1; then
  for file in /etc/profile.d/{modules,lmod}.sh /usr/share/lmod/lmod/init/bash /usr/share/modules/init/bash; do
    if [ -r "$file" ]; then . "$file"; break; fi
  done
fi
"""


def job_script(order: JobOrder) -> str:
    """Returns the script; its shell becomes the job's process, which so gets the signals meant for it."""
    asked, folder = order.resources, order.folder
    failed = f"|| exit {ExitCode.BAD_INPUT:d}"
    # Until Python listens, the signal that the time is nearly over would end the job.
    lines = ["#!/bin/bash", "trap '' USR1", f". {_quoted(folder / ENVIRONMENT_FILE)} {failed}"]
    if asked.prologue:
        lines.append(f". {_quoted(asked.prologue)} {failed}")
    if asked.modules:
        lines += [_FIND_MODULES.rstrip(), *(f"module load {_quoted(name)} {failed}" for name in asked.modules)]
    command = python_command("-u", "-m", order.module, str(folder))
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])


def environment_script(variables: Mapping[str, str]) -> str:
    """Returns what sets the variables of the fold's process, as far as they are not the machine's own."""
    return "".join(
        f"export {name}={shlex.quote(value)}\n"
        for name, value in sorted(variables.items())
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and not NODES_OWN.fullmatch(name)
    )


def _quoted(text: Path | str) -> str:
    return shlex.quote(str(text))
