"""A project folder whose servers `nnunet-assets` starts and stops, on ports of its own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = """
import signal

signal.signal(signal.SIGINT, signal.SIG_IGN)

from nnunet_assets.cli.main import main

main()
"""


@dataclass(frozen=True)
class ServedProject:
    """A project folder whose servers have ports of their own."""

    folder: Path
    port: int
    mlflow_port: int

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `nnunet-assets` as a script in the background does, with SIGINT ignored.

        Its output goes to files, since the servers may inherit a pipe and keep it open.
        """
        names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI", "NNUNET_ASSETS_PROJECT")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        texts = [self.folder.parent / name for name in ("stdout", "stderr")]
        with texts[0].open("w") as stdout, texts[1].open("w") as stderr:
            code = subprocess.run(
                [sys.executable, "-c", COMMAND, *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                check=False,
                timeout=150,
            ).returncode
        return subprocess.CompletedProcess(arguments, code, *(text.read_text() for text in texts))

    def up(self) -> str:
        done = self.command("up", str(self.folder), "--port", str(self.port), "--mlflow-port", str(self.mlflow_port))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def down(self) -> str:
        done = self.command("down", str(self.folder))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def processes(self) -> dict[str, int]:
        return {path.stem: json.loads(path.read_text())["pid"] for path in (self.folder / "run").glob("*.json")}


def wait_until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)
    return found
