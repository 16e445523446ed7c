"""The name of this machine: what records of processes bear, so that nobody looks for them on another one.

A container has a name of its own, a new one with each start unless it is given one (`docker run --hostname`).
"""

import socket

HOST_TAG = "nnunet_assets/host"
"""Of a run of Dagster's: the machine that its process was started on."""


def host_name() -> str:
    """Returns it, as the kernel has it."""
    return socket.gethostname()
