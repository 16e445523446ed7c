"""A thread in a child that notices what the child itself would wait for without end.

A pool of `multiprocessing` puts a new worker in the place of one that was killed and never answers for the lost task
(bpo-22393): nnU-Net's export and its metrics would hang. And a process that is stuck in a library runs no signal
handler when its parent ends.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import process
from multiprocessing.process import BaseProcess

ENDED_ON_PURPOSE = {signal.SIGTERM, signal.SIGINT}
"""What pools and nnU-Net send to workers that they no longer need."""


def watch_workers(
    on_killed: Callable[[str], object], on_orphaned: Callable[[], object], poll_seconds: float = 0.5
) -> None:
    """Watches this process's workers (forked or spawned by `multiprocessing`) and its parent from now on.

    Args:
        on_killed: Called with a sentence when a worker was ended by a signal other than SIGTERM and SIGINT. One that
            lived for less than `poll_seconds` may be missed.
        on_orphaned: Called at every look from the moment on that another process is the parent.
        poll_seconds: Seconds between two looks.
    """
    parent = os.getppid()

    def watch() -> None:
        workers: set[BaseProcess] = set()
        while True:
            # Not `active_children`, which takes the exit status of ended workers away from who waits for them.
            workers |= set(process._children)  # type: ignore[attr-defined]
            for worker in list(workers):
                number = _ended_by(worker)
                if number is not None:
                    workers.discard(worker)
                if number and number not in ENDED_ON_PURPOSE:
                    on_killed(
                        f"A worker process ({worker.name}, process {worker.pid}) was killed by signal {number}, most "
                        "often because the machine ran out of memory."
                    )
            if os.getppid() != parent:
                on_orphaned()
            time.sleep(poll_seconds)

    threading.Thread(target=watch, daemon=True, name="worker watch").start()


def _ended_by(worker: BaseProcess) -> int | None:
    """Returns the signal that ended a worker, 0 where it ended by itself, None while it runs; leaves it unreaped."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13
        return None
    try:
        status = os.waitid(os.P_PID, worker.pid or 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:  # somebody has taken its status, and keeps it
        return _signal_of(worker)
    if status is None:
        return None
    return status.si_status if status.si_code in (os.CLD_KILLED, os.CLD_DUMPED) else 0


def _signal_of(worker: BaseProcess) -> int | None:
    try:
        code = worker.exitcode
    except ValueError:  # closed
        return 0
    return None if code is None else max(0, -code)
