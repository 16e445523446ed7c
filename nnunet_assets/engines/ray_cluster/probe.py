"""What a Ray cluster has, by a process that asks it: `python -m nnunet_assets.engines.ray_cluster.probe ADDRESS`."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import NoReturn

from nnunet_assets.engines.ray_cluster.driver import connected
from nnunet_assets.engines.ray_cluster.own_node import no_node_here
from nnunet_assets.engines.ray_cluster.queue import QUIET, no_answer, refuse_missing
from nnunet_assets.engines.ray_cluster.raised import Refused
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.interpreter import python_command, with_safe_imports

PROBE_MODULE = "nnunet_assets.engines.ray_cluster.probe"
PROBE_SECONDS = 90.0


class NoClusterError(NnunetAssetsError):
    """No cluster takes this machine's connection; the message says why."""


def cluster_nodes(address: str | None, variables: Mapping[str, str]) -> list[dict[str, float]]:
    """Returns what each living node of a cluster has in all, by Ray's names.

    Args:
        address: As it is declared; None: as `variables` say, or as Ray finds it on this machine.
        variables: The environment.

    Raises:
        ConfigError: Ray is not installed here.
        NoClusterError: Nothing answers, other versions run there, or this machine is none of its nodes.
    """
    refuse_missing()
    address = address or variables.get("RAY_ADDRESS")
    if lack := no_answer(address) or no_node_here(address):
        raise NoClusterError(lack)
    try:
        done = subprocess.run(
            python_command("-m", PROBE_MODULE, address or "auto"),
            env={**with_safe_imports(variables), **QUIET},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoClusterError(f"It takes no connection within {PROBE_SECONDS:.0f} s.") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise NoClusterError(said[-1] if said else f"The probe ended with exit code {done.returncode}.")
    nodes: list[dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return nodes


def main(address: str) -> NoReturn:
    """Prints the nodes of a cluster."""
    try:
        nodes = connected(address).nodes()
    except Refused as error:
        sys.exit(str(error))
    except Exception as error:  # noqa: BLE001 (whatever Ray raises: its words are the answer)
        sys.exit(" ".join(str(error).split()))
    print(json.dumps(nodes), flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
