"""Ray's driver of one job, in a process that `forker.py` forks for who supervises it.

A process of its own, since Ray ends whichever process it is loaded in when the cluster's head is lost, and its threads
and what they print are none of a supervisor's. The task lives as long as this process, and this process as long as the
supervisor: the end of the standard input is the end of all three.
"""

import os
import select
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.engines.job_files import (
    ID_VARIABLE,
    NODE_VARIABLE,
    PARENT_VARIABLE,
    STARTED_FILE,
    TASK_VARIABLE,
    Started,
    read_from_job,
    write_for_job,
)
from nnunet_assets.engines.ray_cluster.driver_files import (
    CANCEL,
    FINAL,
    ORDER_FILE,
    RELEASE,
    TOLD_FILE,
    RayOrder,
    RayTold,
)
from nnunet_assets.engines.ray_cluster.raised import Refused, clearer, told_by_error, told_by_task
from nnunet_assets.engines.ray_cluster.wanted import reason_to_wait, task_options, wanted_amounts
from nnunet_assets.processes.child import GRACE_SECONDS

POLL_SECONDS = 0.5
REASON_SECONDS = 5.0
TASK_GRACE_SECONDS = GRACE_SECONDS + 20.0
"""How long the job's process may take to end, which gives the fold's process `GRACE_SECONDS`."""
FORCE_SECONDS = TASK_GRACE_SECONDS + 10.0
"""After so long a task that was asked to end is killed with its worker."""
LOST_SECONDS = 15.0
"""After so long more a task that does not even answer to that is given up; it ends with this process."""

UNSENT = ("pyarrow", "starlette")
"""What Ray loads where it is installed, numpy with it, to send values of it. None is sent here, and without them each
driver, one for each fold that waits, is 11 MiB lighter."""

VARIABLES = {"parent": PARENT_VARIABLE, "id": ID_VARIABLE, "node": NODE_VARIABLE, "task": TASK_VARIABLE}


class Cluster(Protocol):
    """What a driver needs of Ray; see `connected`."""

    @property
    def job_id(self) -> str:
        """Ray's id of this driver's job."""

    def nodes(self) -> list[Mapping[str, float]]:
        """Returns what each living node has in all, by Ray's names."""

    def submit(self, options: Mapping[str, Any], *arguments: Any) -> None:
        """Submits the task, once."""

    def cancel(self, *, force: bool) -> None:
        """Asks it to end; a queued one does at once."""

    def result(self) -> RayTold | None:
        """Returns how the task ended; None: it has not."""


@dataclass
class Driver:
    """The life of one task.

    Attributes:
        folder: The job's.
        order: What is to be submitted.
        cluster: Where.
        told: What was told last.
        supervisor: What is readable when the supervisor's process has ended, see `end_of`.
    """

    folder: Path
    order: RayOrder
    cluster: Cluster
    told: RayTold = field(default_factory=RayTold)
    supervisor: int | None = None
    _cancelled_at: float | None = None
    _is_forced: bool = False
    _reason_at: float = 0.0

    def run(self) -> None:
        """Waits for the word to submit, submits, and tells how the task is until it has ended."""
        self._tell(state="HELD", job_id=self.cluster.job_id)
        while (word := self._word()) != RELEASE:
            if word is not None:
                self._tell(state="CANCELLED", reason="it was ended before it was submitted")
                return
        arguments = (str(self.folder), VARIABLES, TASK_GRACE_SECONDS)
        self.cluster.submit(task_options(self.order.name, self.order.resources), *arguments)
        self._look_at_wait()
        while self.told.state not in FINAL:
            if self._cancelled_at is not None:
                time.sleep(POLL_SECONDS)  # the input from a supervisor that is gone can be read all the time
            elif self._word() in (CANCEL, ""):
                self._cancelled_at = time.monotonic()
                self.cluster.cancel(force=False)
            self._look()

    def _look(self) -> None:
        if ended := self.cluster.result():
            started = read_from_job(Started, self.folder / STARTED_FILE)
            node = ended.node or (started.node if started else None)
            self._tell(**{**vars(ended), "job_id": self.told.job_id, "node": node})
        elif self._cancelled_at is not None:
            self._press(time.monotonic() - self._cancelled_at)
        elif self.told.state == "PENDING":
            self._look_at_wait()

    def _look_at_wait(self) -> None:
        if started := read_from_job(Started, self.folder / STARTED_FILE):
            self._tell(state="RUNNING", node=started.node, reason=None, may_never_start=False)
        elif time.monotonic() > self._reason_at:
            self._reason_at = time.monotonic() + REASON_SECONDS
            reason, may_never = reason_to_wait(wanted_amounts(self.order.resources), self.cluster.nodes())
            self._tell(state="PENDING", reason=reason, may_never_start=may_never)

    def _press(self, seconds: float) -> None:
        """Ends a task that was asked to end so many seconds ago."""
        if seconds > FORCE_SECONDS and not self._is_forced:
            self._is_forced = True
            self.cluster.cancel(force=True)
        elif seconds > FORCE_SECONDS + LOST_SECONDS:
            self._tell(state="CANCELLED", reason="it was given up, since Ray did not end it")

    def _word(self) -> str | None:
        """Returns what the supervisor said within a moment; None: nothing; empty: it is gone."""
        # Where another process of the supervisor's inherited the input's other end, its end does not show in it.
        heard = [sys.stdin.fileno(), *([] if self.supervisor is None else [self.supervisor])]
        ready = select.select(heard, [], [], POLL_SECONDS)[0]
        if sys.stdin.fileno() in ready:
            return sys.stdin.readline().strip()
        return "" if ready else None

    def _tell(self, **changes: Any) -> None:
        told = replace(self.told, **changes)
        if told != self.told:
            write_for_job(self.folder / TOLD_FILE, told)
            self.told = told


def main(folder: Path) -> NoReturn:
    """Drives the job of a folder."""
    order = dataclass_from_json(RayOrder, (folder / ORDER_FILE).read_bytes())
    load()
    try:
        cluster = connected(order.resources.address)
    except Refused as error:
        write_for_job(folder / TOLD_FILE, RayTold(refusal=str(error)))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 (whatever Ray raises: it is asked again, and the log has the rest)
        print(error if isinstance(error, ConnectionError) else f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)
    driver = Driver(folder, order, cluster, supervisor=end_of(order.supervisor))
    driver.run()
    # Not by way of Ray's own end, which waits for its threads; what the cluster has of this job ends with the process.
    sys.stdout.flush()
    os._exit(0)


def load() -> None:
    """Loads of Ray what a driver needs of it, and connects to nothing."""
    leave_out(UNSENT)
    from ray import cloudpickle  # noqa: F401

    from nnunet_assets.engines.ray_cluster import task  # noqa: F401


def end_of(pid: int) -> int | None:
    """Returns an open file that can be read when a process has ended; None: the system has no such files.

    Raises:
        ProcessLookupError: It has ended.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):  # another system than Linux, an old one, or one that does not allow it
        return None


def leave_out(names: Iterable[str]) -> None:
    """Makes modules of these names, unless they are loaded, be not installed for this process."""
    for name in names:
        # Python's own way to say that there is none.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def connected(address: str | None) -> Cluster:
    """Connects this process to a cluster.

    Args:
        address: `HOST:PORT` of its head; None or `auto`: as Ray finds it, by `RAY_ADDRESS` or on this machine.

    Raises:
        Refused: Other versions run there.
        Exception: As Ray, where nothing answers, or as `clearer`.
    """
    import ray

    try:
        ray.init(address or "auto", namespace="nnunet_assets", log_to_driver=False, logging_level="ERROR")
    except Exception as error:
        raise clearer(error, address) from error
    return RayCluster(ray)


class RayCluster:
    """Ray itself.

    Args:
        ray: The module, connected.
    """

    def __init__(self, ray: Any) -> None:
        self._ray, self._ref = ray, None

    @property
    def job_id(self) -> str:
        """As `Cluster.job_id`."""
        return str(self._ray.get_runtime_context().get_job_id())

    def nodes(self) -> list[Mapping[str, float]]:
        """As `Cluster.nodes`."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def submit(self, options: Mapping[str, Any], *arguments: Any) -> None:
        """As `Cluster.submit`."""
        from ray import cloudpickle

        from nnunet_assets.engines.ray_cluster import task

        cloudpickle.register_pickle_by_value(task)
        # Ray takes `max_calls` where a function is made a task, and nowhere later.
        remote = self._ray.remote(**options)(task.run_job)
        self._ref = remote.remote(*arguments)

    def cancel(self, *, force: bool) -> None:
        """As `Cluster.cancel`."""
        self._ray.cancel(self._ref, force=force)

    def result(self) -> RayTold | None:
        """As `Cluster.result`."""
        done, _ = self._ray.wait([self._ref], timeout=0)
        if not done:
            return None
        try:
            return told_by_task(self._ray.get(self._ref))
        except Exception as error:  # noqa: BLE001 (of the task, or of Ray: told, never guessed)
            return told_by_error(error)
