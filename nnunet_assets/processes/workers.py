"""How many worker processes nnU-Net may start, sized to the machine.

nnU-Net's defaults are eight processes for validation export and twelve for augmentation whatever the machine; each
imports torch anew. What the user set stays as it is, where nnU-Net can start so many.
"""

import os
from collections.abc import Mapping

from nnunet_assets.errors import ConfigError

MAX_EXPORT_PROCESSES = 8
MAX_AUGMENTATION_PROCESSES = 12

EXPORT, AUGMENTATION = "nnUNet_def_n_proc", "nnUNet_n_proc_DA"
_LEAST = {EXPORT: 1, AUGMENTATION: 0}
"""Without augmentation workers the training augments by itself; nobody else would plan, preprocess or export."""


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
        ConfigError: As `check_worker_variables`.
    """
    check_worker_variables(environment)
    available = (n_cpus or usable_cpus()) // n_sharing
    wanted = {
        EXPORT: max(1, min(MAX_EXPORT_PROCESSES, available // 2)),
        AUGMENTATION: max(1, min(MAX_AUGMENTATION_PROCESSES, available - 1)),
    }
    variables = {name: environment.get(name) or str(value) for name, value in wanted.items()}
    for _ in range(n_halvings):
        variables = {name: _half(value) for name, value in variables.items()}
    return variables


def check_worker_variables(environment: Mapping[str, str]) -> None:
    """Passes where nnU-Net can start as many workers as the user wants; it fails late, or waits for ever, otherwise.

    Raises:
        ConfigError: A variable is no number, or too small.
    """
    if problems := [text for name in _LEAST if (text := worker_problem(name, environment.get(name)))]:
        raise ConfigError(" ".join(problems))


def worker_problem(name: str, value: str | None) -> str | None:
    """Returns what is wrong with the value of one of the two variables; None: nothing, or it is not set."""
    least = _LEAST[name]
    if not value or (value.isdecimal() and int(value) >= least):
        return None
    return (
        f"{name} is {value!r}, not a whole number of at least {least}. Correct or unset it: then it fits the machine."
    )


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
    return str(max(1, int(number) // 2)) if int(number) else number  # 0: everything in one process


def usable_cpus() -> int:
    """Returns how many processors this process may use."""
    # macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
