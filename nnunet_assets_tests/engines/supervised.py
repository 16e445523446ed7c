"""A fold in a folder of its own, and those who supervise it on a cluster: each a process, which may be killed."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.engines.job_files import open_record
from nnunet_assets_tests.engines import stub_fold
from nnunet_assets_tests.engines.one_supervisor import EXPERIMENT, OPTIONS
from nnunet_assets_tests.prepared_builders import write_prepared
from nnunet_assets_tests.tiny_request import with_modules_of

MARK = "NNUNET_ASSETS_TRIAL"
"""Every process of the fold inherits it, on a node too: so are the survivors found."""


class Supervised:
    """The fold.

    Args:
        folder: Its own.
        variables: By which the cluster is found.
        options: What every supervisor is told, see `one_supervisor.supervise`.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str], **options: Any) -> None:
        self.folder, self.variables, self.options = folder, dict(variables), options
        self.roots, _ = write_prepared(folder)
        self.place = EXPERIMENT.place_of(self.roots, options.get("fold", "fold_0"))
        self.log = folder / f"supervisors of {self.place.fold}.log"
        self.mark = uuid.uuid4().hex

    def start(
        self, *, epoch_seconds: float = 0.0, within: Sequence[str] = (), **options: Any
    ) -> "subprocess.Popen[bytes]":
        """Starts a supervisor, as the arguments of a command where one is named."""
        told = {OPTIONS: json.dumps({**self.options, **options}), stub_fold.EPOCH_SECONDS: str(epoch_seconds)}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*within, sys.executable, "-m", "nnunet_assets_tests.engines.one_supervisor", str(self.folder)],
                env={**with_modules_of(self.folder), **self.variables, **told, MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, **options: Any) -> int:
        return self.start(**options).wait(240)

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def epochs(self) -> list[int | None]:
        return [one.epoch for one in read_records(journal_path(self.place.folder)) if one.kind == "epoch"]

    @property
    def n_jobs(self) -> int:
        return len(list((self.place.own / "jobs").iterdir()))

    def processes(self, module: str = "") -> list[psutil.Process]:
        """Returns every living process of the fold that was started with a module whose name ends so."""
        return [one for one in psutil.process_iter() if _is_of(one, self.mark, module)]

    def wait_for(self, what: Callable[[], Any], seconds: float = 90) -> Any:
        until = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < until, self.said
            time.sleep(0.05)
        return found

    def wait_until_gone(self, seconds: float = 30) -> float:
        """Waits until no process of the fold is left; returns how long that took."""
        began = time.monotonic()
        while left := self.processes():
            assert time.monotonic() - began < seconds, [one.cmdline() for one in left]
            time.sleep(0.1)
        return time.monotonic() - began

    def check_finished(self, n_epochs: int = 4) -> dict[str, Any]:
        """Checks that each epoch was trained once, and that nothing is left; returns what is recorded of the job."""
        manifest = read_committed(self.place.folder, check_files=True)
        assert manifest, self.said
        assert self.epochs == list(range(n_epochs))
        assert open_record(self.place.folder) is None
        self.wait_until_gone(5)
        found: dict[str, Any] = manifest.details["job"]
        return found

    def end(self) -> None:
        """Ends what a test that failed left behind."""
        for process in self.processes():
            process.kill()


def _is_of(process: psutil.Process, mark: str, module: str) -> bool:
    try:
        is_zombie = process.status() == psutil.STATUS_ZOMBIE
        named = not module or any(part.endswith(module) for part in process.cmdline())
        return not is_zombie and named and process.environ().get(MARK) == mark and process.pid != os.getpid()
    except psutil.Error:
        return False
