"""Ray as a queue of jobs: each is a task, whose driver is a process that is forked for this one and ends with it.

So nothing outlives who supervises a fold, and there is nothing to follow: a job that this process did not submit is
gone, or is about to be, and the fold's own lock says when. This process never loads Ray.
"""

import importlib.util
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from os import getpid
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.engines.job_files import SCRIPT_FILE, read_from_job
from nnunet_assets.engines.job_queue import GONE, JobLook, JobOrder, QueueRefusedError, QueueSilentError
from nnunet_assets.engines.job_script import job_script
from nnunet_assets.engines.ray_cluster.driver_files import (
    CANCEL,
    DRIVER_LOG_FILE,
    FINAL,
    ORDER_FILE,
    RELEASE,
    TOLD_FILE,
    RayOrder,
    RayTold,
)
from nnunet_assets.engines.ray_cluster.forked import ForkedDriver, forked_driver
from nnunet_assets.engines.ray_cluster.own_node import no_node_here
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.interpreter import with_safe_imports

CONNECT_SECONDS = 90.0
"""How long a driver may take to import Ray, on a slow disk, and to connect, for which Ray itself tries for a minute."""
RETRY_SECONDS, MOST_RETRY_SECONDS = 10.0, 120.0
"""Between two tries that find no cluster, twice as long each time: a driver costs two seconds of a processor."""
PORT_SECONDS = 3.0
DRIVER_END_SECONDS = 10.0

QUIET = {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_DEDUP_LOGS": "0", "RAY_TQDM": "0", "PYTHONUNBUFFERED": "1"}
"""Ray sends the working folder to all nodes where it believes to be run by `uv`; nothing is to be sent."""


@dataclass
class _Driver:
    process: ForkedDriver
    folder: Path

    @property
    def told(self) -> RayTold:
        return read_from_job(RayTold, self.folder / TOLD_FILE) or RayTold()


class RayQueue:
    """Ray's queue, as drivers of this process reach it.

    Args:
        variables: The environment, by which Ray finds its cluster where no address is declared.
    """

    name, title, cancel_command = "ray", "Ray", None

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._drivers: dict[str, _Driver] = {}
        self._next_try, self._retry_seconds = 0.0, RETRY_SECONDS

    def submit(self, order: JobOrder) -> str:
        """As `JobQueue.submit`.

        Raises:
            ConfigError: Ray is not installed here.
        """
        refuse_missing()
        if order.name not in self._drivers:
            self._start(order)
        driver = self._drivers[order.name]
        until = time.monotonic() + CONNECT_SECONDS
        while (told := driver.told).job_id is None:
            if told.refusal:
                self.forget(order.name)
                raise QueueRefusedError(told.refusal)
            if driver.process.has_ended:
                self.forget(order.name)
                self._put_off()
                raise QueueSilentError(_last_line(order.folder / DRIVER_LOG_FILE))
            if time.monotonic() > until:
                raise QueueSilentError(f"It does not take the connection within {CONNECT_SECONDS:.0f} s.")
            time.sleep(0.05)
        self._retry_seconds = RETRY_SECONDS
        return told.job_id

    def release(self, job_id: str) -> None:
        """As `JobQueue.release`."""
        if driver := self._driver_of(job_id):
            driver.process.say(RELEASE)

    def find(self, name: str) -> str | None:
        """As `JobQueue.find`; those of other processes end with these."""
        driver = self._drivers.get(name)
        return driver.told.job_id if driver else None

    def cancel_others(self, name: str, job_id: str) -> None:
        """As `JobQueue.cancel_others`: a driver has one task, and none is submitted by an answer that was lost."""

    def look(self, job_id: str) -> JobLook:
        """As `JobQueue.look`."""
        driver = self._driver_of(job_id)
        if driver is None:
            return JobLook(GONE)
        has_ended = driver.process.has_ended
        told = driver.told
        if told.state in FINAL:
            return JobLook(told.state, None, told.node, exit_code=told.exit_code, said=told.reason)
        if has_ended:
            last = _last_line(driver.folder / DRIVER_LOG_FILE)
            return JobLook("REVOKED", said=f"Its driver ended, as where the cluster's head is lost: {last}")
        state = "PENDING" if told.state in ("CONNECTING", "HELD") else told.state
        return JobLook(state, told.reason, told.node, may_never_start=told.may_never_start)

    def cancel(self, job_id: str) -> None:
        """As `JobQueue.cancel`."""
        if driver := self._driver_of(job_id):
            driver.process.say(CANCEL)

    def forget(self, name: str) -> None:
        """As `JobQueue.forget`: the end of its input ends the driver."""
        if driver := self._drivers.pop(name, None):
            driver.process.end(DRIVER_END_SECONDS)

    def _driver_of(self, job_id: str) -> _Driver | None:
        return next((one for one in self._drivers.values() if one.told.job_id == job_id), None)

    def _put_off(self) -> None:
        """Lets some time pass before the next try, twice as long each time."""
        self._next_try = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, MOST_RETRY_SECONDS)

    def _start(self, order: JobOrder) -> None:
        address = order.resources.address or self._variables.get("RAY_ADDRESS")
        if time.monotonic() < self._next_try:
            raise QueueSilentError("It is tried again in a moment.")
        if lack := no_answer(address):
            raise QueueSilentError(lack)
        if lack := no_node_here(address):  # found by a look at every process of this machine
            self._put_off()
            raise QueueSilentError(lack)
        write_atomically(order.folder / SCRIPT_FILE, job_script(order).encode())
        content = RayOrder(order.name, order.resources, getpid())
        write_json_atomically(order.folder / ORDER_FILE, dataclass_to_json(content))
        (order.folder / TOLD_FILE).unlink(missing_ok=True)
        try:
            process = forked_driver(order.folder, {**with_safe_imports(self._variables), **QUIET})
        except ChildProcessError as error:
            self._put_off()
            raise QueueSilentError(f"{error}: {_last_line(order.folder / DRIVER_LOG_FILE)}") from error
        self._drivers[order.name] = _Driver(process, order.folder)


def refuse_missing() -> None:
    """Refuses where Ray is not installed.

    Raises:
        ConfigError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(
            "kind: ray, and Ray is not installed here: `pip install 'nnunet_assets[ray]'`, in the version that the "
            "cluster runs; or declare `kind: local`."
        )


def no_answer(address: str | None) -> str | None:
    """Says why nothing can be expected at an address; None: something answers there, or Ray is to find it."""
    if not address or address == "auto":
        return None
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), PORT_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        return f"Nothing answers at {address} ({error}): is its head up (`ray start --head`), and the address right?"
    return None


def _last_line(file: Path) -> str:
    with suppress(OSError):
        lines = [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            # Ray's own begin with time and place: `[2026-11-30 13:49:53,443 E 26029 26380] rpc_client.h:204: `.
            return re.sub(r"^\[[^\]]*\] \S+:\d+: ", "", lines[-1])[:300]
    return "it printed nothing"
