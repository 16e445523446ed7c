"""How many worker processes nnU-Net may start, sized to the machine.

nnU-Net's defaults are eight processes for validation export and twelve for augmentation whatever the machine; each
imports torch anew. What the user set stays as it is.
"""

import os
from collections.abc import Mapping

from nnunet_assets.errors import ConfigError

MAX_EXPORT_PROCESSES = 8
MAX_AUGMENTATION_PROCESSES = 12


def worker_variables(
    environment: Mapping[str, str], n_cpus: int | None = None, *, n_sharing: int = 1, n_halvings: int = 0
) -> dict[str, str]:
    """Returns `nnUNet_def_n_proc` and `nnUNet_n_proc_DA`, as the user set them or else fitted to the processors.

    Args:
        environment: Where the user's own values are looked up.
        n_cpus: Processors that this process may use; None: as the system says.
        n_sharing: How many folds share the processors.
        n_halvings: How often the numbers, the user's too, are halved for lack of memory; one worker always stays.
    """
    available = (n_cpus or usable_cpus()) // n_sharing
    wanted = {
        "nnUNet_def_n_proc": max(1, min(MAX_EXPORT_PROCESSES, available // 2)),
        "nnUNet_n_proc_DA": max(1, min(MAX_AUGMENTATION_PROCESSES, available - 1)),
    }
    variables = {name: environment.get(name) or str(value) for name, value in wanted.items()}
    for _ in range(n_halvings):
        variables = {name: _half(value) for name, value in variables.items()}
    return variables


def positive_number(environment: Mapping[str, str], variable: str) -> int | None:
    """Returns a variable's whole number; None where it is not set.

    Raises:
        ConfigError: It is none above 0.
    """
    text = environment.get(variable)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{variable} is {text!r}, which is not a whole number above 0. Correct or unset it.")
    return int(text)


def _half(number: str) -> str:
    # 0: everything in one process. What is no number, nnU-Net itself refuses.
    return str(max(1, int(number) // 2)) if number.isdecimal() and int(number) else number


def usable_cpus() -> int:
    """Returns how many processors this process may use."""
    # macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
