"""What Ray raises, read by names and words, without Ray: why it takes no connection, and how a task ended."""

import re
from collections.abc import Mapping
from typing import Any

from nnunet_assets.engines.ray_cluster.driver_files import RayTold, TaskState
from nnunet_assets.engines.ray_cluster.own_node import NO_NODE_INFO, no_node_of
from nnunet_assets.processes.exit_codes import ExitCode


class Refused(Exception):  # noqa: N818 - reads as what happened
    """The cluster does not take this driver, and asking again changes nothing."""


def clearer(error: Exception, address: str | None) -> Exception:
    """Returns why a connection was not taken, in words that say what to do where they are known; else the error itself.

    Ray wraps what happened in a "Failed to connect to Ray cluster".

    Args:
        error: What `ray.init` raised.
        address: Of the cluster's head; None or `auto`: as Ray finds it.
    """
    causes = [str(one) for one in _chain(error)]
    if mismatch := next((one for one in causes if "ersion mismatch" in one), None):
        return Refused(" ".join(mismatch.split()))
    if isinstance(error, ValueError):
        return Refused(" ".join(causes[0].split()))
    if any(NO_NODE_INFO in one for one in causes):
        return ConnectionError(no_node_of(address or "RAY_ADDRESS"))
    if any("AuthToken" in one or "AuthenticationError" in one for one in causes):
        return ConnectionError(
            "The cluster asks for a token, and has another one than this machine, or this machine none. "
            "Have RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH, in the project's .env, or the "
            "cluster's token in ~/.ray/auth_token."
        )
    return error


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def told_by_task(returned: Mapping[str, Any]) -> RayTold:
    """Returns how a task ended that says so itself, see `task.run_job`."""
    node, problem, code = returned["node"], returned.get("problem"), returned.get("exit_code")
    if problem:
        return RayTold("FAILED", node=node, reason=problem, exit_code=ExitCode.BAD_INPUT)
    return RayTold("FAILED" if code else "COMPLETED", node=node, exit_code=code)


STATES: Mapping[str, TaskState] = {
    "TaskCancelledError": "CANCELLED",
    "OutOfMemoryError": "OUT_OF_MEMORY",
    "NodeDiedError": "NODE_FAIL",
    "LocalRayletDiedError": "NODE_FAIL",
    "WorkerCrashedError": "REVOKED",
}
"""What Ray's errors say of a task, by their names, so that they can be read without Ray."""


def told_by_error(error: BaseException) -> RayTold:
    """Returns how a task ended for which Ray raises an error."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip().rstrip(".") for line in plain.splitlines() if line.strip()] or [type(error).__name__]
    for kind in type(error).__mro__:
        if state := STATES.get(kind.__name__):
            return RayTold(state, reason=None if state == "CANCELLED" else lines[0])
    # A traceback, which ends with what was raised.
    return RayTold("FAILED", reason=lines[-1])
