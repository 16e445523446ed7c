"""What passes between a supervisor and the process that is Ray's driver for one of its jobs.

In the job's folder, beside what every job has: `ray_order.json`, written before the driver starts; `ray.json`, the
driver's, which tells how the task is; and `ray.log`, what Ray printed meanwhile. The other way go words, a line each,
to the driver's standard input, whose end means that the supervisor is gone.
"""

from dataclasses import dataclass
from typing import Literal

from nnunet_assets.core.training.resources import Resources

ORDER_FILE, TOLD_FILE, DRIVER_LOG_FILE = "ray_order.json", "ray.json", "ray.log"

RELEASE, CANCEL = "release", "cancel"

TaskState = Literal[
    "CONNECTING",
    "HELD",
    "PENDING",
    "RUNNING",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "NODE_FAIL",
    "REVOKED",
    "OUT_OF_MEMORY",
]
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "REVOKED", "OUT_OF_MEMORY"})
"""Nothing of the task runs any more, nor will."""


@dataclass(frozen=True)
class RayOrder:
    """What a driver is to submit.

    Attributes:
        name: What the task is called on the cluster.
        resources: What it asks for, and where the cluster is.
        supervisor: Process id of who starts the driver, without whom it ends.
    """

    name: str
    resources: Resources
    supervisor: int


@dataclass(frozen=True)
class RayTold:
    """What a driver tells.

    Attributes:
        state: How the task is.
        job_id: Ray's id of the driver's job; None: it is not connected.
        node: Where the task runs, or ran; None: nowhere, or not known.
        reason: Why it waits, or how it ended, in words; None: there is nothing to say.
        may_never_start: Whether no node of the cluster has what it asks for, even an idle one.
        exit_code: That of the job's process; None: not known.
        refusal: Why nothing was submitted, and never will be as things are; None: nothing is wrong.
    """

    state: TaskState = "CONNECTING"
    job_id: str | None = None
    node: str | None = None
    reason: str | None = None
    may_never_start: bool = False
    exit_code: int | None = None
    refusal: str | None = None
