"""Whether this machine is a node of a Ray cluster: a driver reaches one by a node on its own machine alone.

Ray itself looks for such a node for a minute, and then says that it found no "node info". What is looked at here is
what it looks at: the processes of this machine, which in a container are the container's.
"""

from contextlib import suppress
from pathlib import Path

import psutil

NO_NODE_INFO = "No node info found"
"""What Ray says where only nodes of other clusters run on this machine."""


def no_node_here(address: str | None) -> str | None:
    """Says that this machine is no node of any cluster, and what to do; None: it is one, or Ray is to find that out.

    Args:
        address: Of the cluster's head; None or `auto`: Ray finds it by a node here, and says itself that none is.
    """
    if address in (None, "auto") or any(_is_raylet(process) for process in psutil.process_iter()):
        return None
    return no_node_of(str(address))


def no_node_of(address: str) -> str:
    """Says that this machine is no node of the cluster at an address, and what to do."""
    return (
        f"This machine is no node of the cluster at {address}, and Ray takes a connection from its own nodes alone. "
        f"Let it join, to train nothing: `ray start --address={address} --num-cpus=0 --num-gpus=0`; or have Dagster on "
        "a machine of the cluster."
    )


def _is_raylet(process: psutil.Process) -> bool:
    with suppress(psutil.Error, IndexError):
        return Path(process.cmdline()[0]).name == "raylet"
    return False
