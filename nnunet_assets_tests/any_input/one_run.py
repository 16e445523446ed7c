"""One command in this process: how it ended, what it printed and wrote, and nothing that it would have started."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets.errors import NnunetAssetsError

LIMIT_SECONDS = 120
"""Only what waits for ever takes so long."""

READY = "Everything is ready to work."

_WRITING = os.O_WRONLY | os.O_RDWR
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree"}


class StoppedBeforeWorkError(NnunetAssetsError):
    """The command got as far as starting a process."""


class EndlessWait(BaseException):
    """The command did not end."""


@dataclass
class Run:
    """How a command ended.

    Attributes:
        arguments: With what it was called.
        code: Its exit code.
        output: What it printed, on both streams.
        fault: A traceback, without the parts that belong to the tests; None: it ended as a command may.
        place: The line of ours where that came from.
        writes: Files and folders that it wrote, made or removed.
        reads: Files and folders that it opened.
    """

    arguments: Sequence[str]
    code: int
    output: str
    fault: str | None
    place: str
    writes: set[Path] = field(default_factory=set)
    reads: set[Path] = field(default_factory=set)

    def written_outside(self, *folders: Path) -> list[Path]:
        """Returns what it wrote elsewhere, but for temporary files, locks of devices, and what Python keeps."""
        allowed = [*folders, Path(os.devnull), *map(Path, filter(None, sys.path))]
        return sorted(path for path in self.writes if not _is_passing(path) and not _is_in(path, allowed))


def _is_in(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def _is_passing(path: Path) -> bool:
    temporary = Path(tempfile.gettempdir())
    is_temporary = path.is_relative_to(temporary) and path.parts[len(temporary.parts)].startswith(
        ("tmp", "nnunet_assets")
    )
    is_cache = "__pycache__" in path.parts or "matplotlib" in path.parts or path.name in (".cache", ".config")
    return is_temporary or is_cache


class _Opened:
    """What is opened. Python never takes an audit hook back: there is one, which notes while somebody listens."""

    def __init__(self) -> None:
        self.written: set[str] | None = None
        self.read: set[str] = set()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if self.written is None:
            return
        if event == "open":
            path, mode, flags = details
            if not isinstance(path, str | bytes | os.PathLike):
                return
            is_writing = isinstance(flags, int) and flags & _WRITING
            is_reading = not is_writing or (isinstance(mode, str) and mode.startswith("r"))
            _note(self.read if is_reading else self.written, path)
        elif event == "sqlite3.connect" and "mode=ro" not in str(details[0]):
            _note(self.read, str(details[0]).removeprefix("file:").partition("?")[0])
        elif event in _CHANGES:
            for path in details[:2] if event in ("os.rename", "os.link") else details[:1]:
                if isinstance(path, str | bytes | os.PathLike):
                    _note(self.written, path)


def _note(places: set[str], path: str | bytes | os.PathLike[str]) -> None:
    with suppress(OSError):  # no current folder
        places.add(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 (links stay what they are)


_opened: list[_Opened] = []


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, charset: str = "utf-8") -> Run:
    """Runs a command in a folder; a folder that is not there is one that was deleted under somebody's feet."""
    opened = _opened[0] if _opened else _Opened()
    _opened[:] = [opened]
    _wait_for_senders()
    with _in(folder), _as_it_was(), _nothing_started(), _limit():
        opened.written, opened.read = set(), set()
        try:
            result = CliRunner(charset=charset).invoke(main, list(arguments), env=dict(environment))
        except EndlessWait:
            return Run(arguments, -1, "", traceback.format_exc(), "endless", set())
        finally:
            written, opened.written = opened.written, None
    fault, place = None, ""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        fault = "".join(traceback.format_exception(*result.exc_info))
        place = _place(result.exc_info[2], result.exception)
    elif result.exit_code not in (0, 1, 2):
        fault, place = f"exit code {result.exit_code}", f"exit code {result.exit_code}"
    elif "Traceback (most recent" in result.output:
        fault, place = result.output, "printed"
    return Run(
        arguments, result.exit_code, result.output, fault, place, set(map(Path, written)), set(map(Path, opened.read))
    )


def _wait_for_senders() -> None:
    """Waits until what the commands before left sending, since their time was up, writes no more.

    Else what it writes into the copy of the project that it belongs to would be taken for written by this one.
    """
    end = time.monotonic() + LIMIT_SECONDS
    for thread in threading.enumerate():
        if thread.name.startswith("mlflow"):
            thread.join(max(0.0, end - time.monotonic()))


def _place(trace: Any, error: BaseException) -> str:
    frames = traceback.extract_tb(trace)
    ours = [frame for frame in frames if "/nnunet_assets/" in frame.filename]
    last = ours[-1] if ours else frames[-1]
    return f"{type(error).__name__} {last.filename.split('/nnunet_assets/')[-1]}:{last.lineno} {last.name}"


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    gone = not folder.exists()
    if gone:
        folder.mkdir()
    os.chdir(folder)
    if gone:
        folder.rmdir()
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _as_it_was() -> Iterator[None]:
    variables, numbers = dict(os.environ), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _nothing_started() -> Iterator[None]:
    def refuse(*arguments: Any, **_: Any) -> NoReturn:
        command = arguments[1] if len(arguments) > 1 else []
        if str(command[0]).endswith("nvidia-smi") or "python" not in str(command[0]):
            raise FileNotFoundError(2, "No such file or directory", str(command[0]))
        raise StoppedBeforeWorkError(READY)

    def refuse_job(*_: Any, **__: Any) -> NoReturn:
        raise StoppedBeforeWorkError(READY)

    import dagster as dg

    with (
        mock.patch.object(subprocess.Popen, "__init__", refuse),
        mock.patch.object(subprocess.Popen, "__del__", lambda _: None),  # noqa: PT008
        mock.patch.object(dg.JobDefinition, "execute_in_process", refuse_job),
    ):
        yield


@contextmanager
def _limit() -> Iterator[None]:
    def end(*_: object) -> NoReturn:
        raise EndlessWait

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
