"""Where the output of Dagster's runs is kept: as Dagster keeps it, without the processes that copy it.

What a run prints goes into a file, which the web UI shows, and from there to where it would have gone. Dagster has two
processes for that on each of two streams, for as long as a step lasts: of a fold that waits, a tenth of its memory.
Here a thread of the run does it.
"""

import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import dagster as dg
from dagster._core.execution.compute_logs import redirect_to_file
from dagster._core.storage.compute_log_manager import CapturedLogContext, ComputeIOType
from dagster._core.storage.local_compute_log_manager import IO_TYPE_EXTENSION, LocalComputeLogManager
from dagster._serdes import ConfigurableClassData
from dagster._utils import ensure_file

COPY_SECONDS = 1.0
"""As often as Dagster's processes look."""


class RunOutput(LocalComputeLogManager):
    """Keeps the output of runs in the files of Dagster's own, and copies it in the run's process."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Nothing has to be said: the files lie where Dagster has them by itself."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> "RunOutput":
        """Makes one that learns from its instance where the files are."""
        return cls("", inst_data=inst_data, **config_value)

    def register_instance(self, instance: dg.DagsterInstance) -> None:
        """Is told whose runs they are."""
        super().register_instance(instance)
        self._base_dir = instance.storage_directory()

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Keeps what this process prints until it is left."""
        with ExitStack() as stack:
            for stream, kind in ((sys.stdout, ComputeIOType.STDOUT), (sys.stderr, ComputeIOType.STDERR)):
                file = Path(self.get_captured_local_path(log_key, IO_TYPE_EXTENSION[kind]))
                stack.enter_context(_kept(stream, file))
            yield CapturedLogContext(log_key)
        Path(self.get_captured_local_path(log_key, "complete")).touch()


@contextmanager
def _kept(stream: TextIO, file: Path) -> Iterator[None]:
    ensure_file(str(file))
    try:
        handle = os.dup(stream.fileno())
    except (OSError, ValueError):  # a stream that a test has put there, and no file
        yield
        return
    over = threading.Event()
    copy = threading.Thread(target=_copy, args=(file, handle, over), name=f"copies {file.name}", daemon=True)
    copy.start()
    try:
        with redirect_to_file(stream, str(file)):
            yield
    finally:
        over.set()
        copy.join(COPY_SECONDS)


def _copy(file: Path, handle: int, over: threading.Event) -> None:
    """Copies what a file has and gets to an open one, which is closed at the end."""
    with suppress(OSError), file.open("rb") as kept, os.fdopen(handle, "wb", buffering=0) as to:
        is_over = False
        while not is_over:
            is_over = over.wait(COPY_SECONDS)
            while part := kept.read(1 << 16):
                to.write(part)
