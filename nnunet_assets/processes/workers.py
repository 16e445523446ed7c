"""How many worker processes nnU-Net may start, sized to the machine.

nnU-Net's defaults are eight processes for validation export and twelve for augmentation whatever the machine; each
imports torch anew. What the user set stays as it is, where nnU-Net can start so many.
"""

import os
from collections.abc import Mapping

from nnunet_assets.processes.variables import AUGMENTATION, EXPORT, check_variables

MAX_EXPORT_PROCESSES = 8
MAX_AUGMENTATION_PROCESSES = 12

WAIT_POLICY = "OMP_WAIT_POLICY"
"""OpenMP's, by which torch computes on a CPU."""


def worker_variables(
    environment: Mapping[str, str], n_cpus: int | None = None, *, n_sharing: int = 1, n_halvings: int = 0
) -> dict[str, str]:
    """Returns `nnUNet_def_n_proc` and `nnUNet_n_proc_DA`, as the user set them or else fitted to the processors.

    Args:
        environment: Where the user's own values are looked up.
        n_cpus: Processors that this process may use; None: as the system says.
        n_sharing: How many folds share the processors.
        n_halvings: How often the numbers, the user's too, are halved for lack of memory; one worker always stays.

    Raises:
        ConfigError: As `check_variables`.
    """
    check_variables(environment)
    available = (n_cpus or usable_cpus()) // n_sharing
    wanted = {
        EXPORT: max(1, min(MAX_EXPORT_PROCESSES, available // 2)),
        AUGMENTATION: max(1, min(MAX_AUGMENTATION_PROCESSES, available - 1)),
    }
    variables = {name: environment.get(name) or str(value) for name, value in wanted.items()}
    for _ in range(n_halvings):
        variables = {name: _half(value) for name, value in variables.items()}
    return variables


def planning_variables(environment: Mapping[str, str], *, n_halvings: int = 0) -> dict[str, str]:
    """Returns the same for planning, which augments nothing.

    nnU-Net's planner takes the number of augmentation workers for its threads, of which there must be one.
    """
    variables = worker_variables(environment, n_halvings=n_halvings)
    return {**variables, AUGMENTATION: str(max(1, int(variables[AUGMENTATION])))}


def waiting_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns how threads that predict on the CPU wait for each other: as the user set it, or passively.

    Threads that wait by spinning take the processors from those that they wait for: on a machine with other work a
    prediction took five times as long. What is computed is the same.
    """
    return {WAIT_POLICY: environment.get(WAIT_POLICY, "PASSIVE")}


def positive_number(environment: Mapping[str, str], variable: str) -> int | None:
    """Returns the whole number of a variable that `check_variables` knows; None where it is not set.

    Raises:
        ConfigError: As `check_variables`.
    """
    check_variables(environment)
    text = environment.get(variable)
    return int(text) if text else None


def _half(number: str) -> str:
    return str(max(1, int(number) // 2)) if int(number) else number  # 0: everything in one process


def usable_cpus() -> int:
    """Returns how many processors this process may use."""
    # macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
