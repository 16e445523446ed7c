"""How many worker processes nnU-Net may start, sized to the machine.

nnU-Net's defaults are eight processes for validation export and twelve for augmentation whatever the machine; each
imports torch anew. What the user set stays as it is.
"""

import os
from collections.abc import Mapping

MAX_EXPORT_PROCESSES = 8
MAX_AUGMENTATION_PROCESSES = 12


def worker_variables(environment: Mapping[str, str], n_cpus: int | None = None) -> dict[str, str]:
    """Returns `nnUNet_def_n_proc` and `nnUNet_n_proc_DA`, as the user set them or else fitted to the processors.

    Args:
        environment: Where the user's own values are looked up.
        n_cpus: Processors that this process may use; None: as the system says.
    """
    available = n_cpus or _n_cpus()
    wanted = {
        "nnUNet_def_n_proc": max(1, min(MAX_EXPORT_PROCESSES, available // 2)),
        "nnUNet_n_proc_DA": max(1, min(MAX_AUGMENTATION_PROCESSES, available - 1)),
    }
    return {name: environment.get(name) or str(value) for name, value in wanted.items()}


def _n_cpus() -> int:
    # macOS has no affinity.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
