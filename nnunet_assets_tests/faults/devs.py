"""`nnunet-assets dev` of a project, as in terminals of its users, and the processes that belong to one."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from nnunet_assets_tests.dagster_dev import free_port


class Devs:
    """`nnunet-assets dev` of one project, in terminals of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, port: int | None = None) -> "subprocess.Popen[bytes]":
        """Starts one more, with ports of its own."""
        ports = ["--port", str(port or free_port()), "--mlflow-port", str(free_port())]
        code = "from nnunet_assets.cli.main import main; main()"
        with self.log(len(self.started)).open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", code, "dev", str(self.folder), *ports],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def log(self, number: int) -> Path:
        return self.folder.parent / f"dev{number}.log"

    def is_up(self, process: "subprocess.Popen[bytes]") -> bool:
        assert process.poll() is None, self.log(self.started.index(process)).read_text()[-2000:]
        return "\nDagster  http://" in self.log(self.started.index(process)).read_text()

    def end(self) -> None:
        """Ends all of them as by Ctrl-C, and whatever is left of them then."""
        left = [child for dev in self.started for child in family(dev.pid)]
        for dev in self.started:
            dev.send_signal(signal.SIGINT)
        for dev in self.started:
            with suppress(subprocess.TimeoutExpired):
                dev.wait(60)
        for process in left:
            with suppress(psutil.Error):
                process.kill()


def family(pid: int) -> list[psutil.Process]:
    """Returns a process and what it started."""
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return []
