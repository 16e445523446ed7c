"""What Slurm is given of a job: the arguments of `sbatch`, the batch script, and the variables of the fold's process.

Nothing that a user wrote becomes shell text. Partition, account and options are arguments of a command that no shell
reads; the script holds names of modules and of files, quoted; values of variables are quoted.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from nnunet_assets.engines.job_files import ENVIRONMENT_FILE, JOB_LOG_FILE, SCRIPT_FILE
from nnunet_assets.engines.job_queue import JobOrder
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.interpreter import python_command

JOB_MODULE = "nnunet_assets.engines.job_process"

WARNING_SECONDS = 300
"""How long before its end the job is told to save: most epochs end within. Slurm tells up to a minute early."""

NODES_OWN = re.compile(
    r"SLURM.*|SBATCH_.*|SRUN_.*|PBS_.*|LSB_.*|\w+_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|ZE_AFFINITY_MASK"
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


def sbatch_arguments(order: JobOrder) -> list[str]:
    """Returns what `sbatch` is called with; the job is held."""
    asked, log = order.resources, str(order.folder / JOB_LOG_FILE)
    limit = asked.time_limit_minutes
    warning = WARNING_SECONDS if limit is None else min(WARNING_SECONDS, 60 * limit // 4)
    gpus = f"gpu:{asked.gpu_type}:{asked.gpus}" if asked.gpu_type else f"gpu:{asked.gpus}"
    given = {
        "--cpus-per-task": asked.cpus,
        "--mem": None if asked.memory_gb is None else f"{round(asked.memory_gb * 1024)}M",
        "--gres": gpus if asked.gpus else None,
        "--time": limit,
        "--partition": asked.partition,
        "--account": asked.account,
    }
    return [
        "--parsable",
        "--hold",
        # A lost node ends the job: whoever supervises it decides what comes then.
        "--no-requeue",
        "--export=NONE",
        "--nodes=1",
        "--ntasks=1",
        f"--job-name={order.name}",
        # Slurm's own patterns begin with %.
        f"--output={log.replace('%', '%%')}",
        "--open-mode=append",
        f"--chdir={order.folder}",
        f"--signal=B:USR1@{warning}",
        *(f"{option}={value}" for option, value in given.items() if value is not None),
        *asked.options,
        str(order.folder / SCRIPT_FILE),
    ]


def batch_script(order: JobOrder) -> str:
    """Returns the batch script; its shell becomes the job's process, which so gets the signals meant for it."""
    asked, folder = order.resources, order.folder
    failed = f"|| exit {ExitCode.BAD_INPUT:d}"
    # Until Python listens, the signal that the time is nearly over would end the job.
    lines = ["#!/bin/bash", "trap '' USR1", f". {_quoted(folder / ENVIRONMENT_FILE)} {failed}"]
    if asked.prologue:
        lines.append(f". {_quoted(asked.prologue)} {failed}")
    if asked.modules:
        lines += [_FIND_MODULES.rstrip(), *(f"module load {_quoted(name)} {failed}" for name in asked.modules)]
    command = python_command("-u", "-m", JOB_MODULE, str(folder))
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
