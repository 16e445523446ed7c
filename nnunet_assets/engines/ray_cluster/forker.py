"""The process that forks Ray's drivers: `python -m nnunet_assets.engines.ray_cluster.forker`.

What Ray loads is half of what a driver weighs, and the same in each. It is loaded here once, and the drivers share it.
Nothing is connected here: there is one thread, as a fork needs it, and what is forked knows nothing of the others.
Whoever asks, see `forked.py`, opened the socket that is this process's standard input; an end of a connection to it is
the standard input of the driver that comes of it. It ends when no driver is left, and takes none along if it is killed.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from nnunet_assets.core.files.regular_file import open_to_append
from nnunet_assets.engines.ray_cluster import driver
from nnunet_assets.engines.ray_cluster.driver_files import DRIVER_LOG_FILE

IDLE_SECONDS = 60.0
"""For so long it waits for whoever had it started, who was perhaps killed meanwhile."""


def main() -> NoReturn:
    """Loads Ray, and forks a driver for each connection until none is left."""
    if os.fork():
        os._exit(0)  # it is no child of who asked first, and not ended with it
    driver.load()
    gc.collect()
    gc.freeze()  # a collection would write to each page
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # the log until here is a file in the folder of somebody's job
    os.dup2(nowhere, 2)
    hears, tells = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tells)
    with socket.socket(fileno=os.dup(0)) as asked:
        while True:
            ready = select.select([asked.fileno(), hears], [], [], IDLE_SECONDS)[0]
            if asked.fileno() in ready:
                connection, _ = asked.accept()
                if not os.fork():
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for fd in (hears, tells, nowhere):
                        os.close(fd)
                    asked.close()
                    _become_driver(connection)
                connection.close()
            else:
                with suppress(BlockingIOError):
                    os.read(hears, 1000)
                if not _has_children():
                    os._exit(0)


def _has_children() -> bool:
    """Forgets the drivers that have ended, and says whether one is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _become_driver(connection: socket.socket) -> NoReturn:
    os.setsid()  # a Ctrl-C in the terminal is for who supervises the fold, and a driver that it reached would kill it
    request = b""
    while not request.endswith(b"\n"):
        if not (more := connection.recv(1 << 16)):
            os._exit(1)
        request += more
    asked = json.loads(request)
    os.environ.clear()  # noqa: TID251 (this process becomes another one's)
    os.environ.update(asked["variables"])  # noqa: TID251
    folder = Path(asked["folder"])
    with open_to_append(folder / DRIVER_LOG_FILE) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.dup2(connection.fileno(), sys.stdin.fileno())
    connection.sendall(str(os.getpid()).encode())
    connection.close()
    driver.main(folder)


if __name__ == "__main__":
    main()
