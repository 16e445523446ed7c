"""A Python that has imported what nnU-Net imports, and forks for tests what would import it again, for 6 s each.

What it forks is what `python` would have started: a child of the process of the tests, in a session and a folder of its
own, with the arguments, files and variables that it was given, which runs a module, a script or code as its main one
and imports nnU-Net and this package itself. Only the libraries below them are there already. Tests that `side_by_side`
starts as its child share even its imports; a child that starts children of that kind has one too. Whole starts are seen
where others start these processes: in `test_end_to_end`, and in the trials of `faults`, which have none of this.
"""

import array
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets_tests.warm_commands import main_of, read_at_start

PR_SET_CHILD_SUBREAPER = 36

MODULE = "nnunet_assets_tests.warm_process"

THERE = "TESTS_WARM_PYTHON"
"""A variable with the socket of one that is there already: beside tests that it has begun with itself."""

BESIDE = "TESTS_WARM_PYTHON_BESIDE"
"""A variable of a child of it that is to have one too, for the children that it starts."""

ROOM = " " * 20_000
"""The end of its command line, in which those of its children find room."""


class WarmPython:
    """The process that forks; it starts when it is asked for the first time."""

    def __init__(self, there: socket.socket | None = None) -> None:
        self._socket = there
        self._process: subprocess.Popen[bytes] | None = None
        self._variables: dict[str, str] = {}

    def takes(self, command: list[str], environment: Mapping[str, str]) -> bool:
        """Tells whether it would start the same as this command of the same interpreter."""
        self._variables = self._variables or dict(os.environ)
        here, there = read_at_start(self._variables), read_at_start(environment)
        return here == there and main_of(command) is not None

    def fork(self, command: list[str], fds: Mapping[int, int], **request: Any) -> int:
        """Returns the process id of a new child of this process.

        Args:
            command: What `takes` took.
            fds: Open files, by the numbers that the child finds them by.
            request: `environment`, `folder`, `new_session`.
        """
        if self._socket is None:
            self._socket = self._start()
        _adopt_orphans(True)  # until the child's own parent has ended
        try:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds.values()))
            message = json.dumps({"command": command, "fds": list(fds), **request}).encode()
            self._socket.sendmsg([len(message).to_bytes(8, "big")], [rights])
            self._socket.sendall(message)
            if not (answer := self._socket.recv(8)):
                raise RuntimeError("The Python that forks has ended; what it printed says why.")
            return int.from_bytes(answer, "big")
        finally:
            _adopt_orphans(False)

    def end(self) -> None:
        """Ends it, where it was started; what it forked lives on."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.wait()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        here = [str(Path(__file__).parents[1]), *filter(None, [self._variables.get("PYTHONPATH")])]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(theirs.fileno()), ROOM],
                env={**self._variables, "PYTHONPATH": os.pathsep.join(here)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        if not ours.recv(1):
            raise RuntimeError("The Python that forks could not import nnU-Net; what it printed says why.")
        return ours


class WarmPopen(subprocess.Popen[Any]):
    """A `Popen` whose process a warm Python forks, where it imports nnU-Net."""

    warm = WarmPython()

    def _execute_child(  # noqa: PLR0917 (as `Popen` calls it)
        self,
        args: Any,
        executable: Any,
        preexec_fn: Any,
        close_fds: bool,
        pass_fds: Any,
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        *rest: Any,
    ) -> None:
        environment = dict(os.environ if env is None else env)
        *_, new_session, _ = rest
        is_plain = not (isinstance(args, str) or executable or preexec_fn or shell)
        command = [os.fspath(argument) for argument in args] if is_plain else []
        if not self.warm.takes(command, environment):
            first = (args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell)
            pipes = (p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)
            super()._execute_child(*first, *pipes, *rest)  # type: ignore[misc]
            return
        standard = {number: number if fd == -1 else fd for number, fd in enumerate((p2cread, c2pwrite, errwrite))}
        self.pid = self.warm.fork(
            command,
            {**standard, **{fd: fd for fd in pass_fds}},
            environment=environment,
            folder=os.fspath(cwd or Path.cwd()),
            new_session=new_session,
        )
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


@pytest.fixture(scope="session", autouse=True)
def nnunet_starts_warm(request: pytest.FixtureRequest) -> Iterator[None]:
    """Has a warm Python start the processes of the default tests that import nnU-Net."""
    if "not faults" not in request.config.option.markexpr or sys.platform != "linux":
        yield
        return
    if there := os.environ.pop(THERE, None):
        WarmPopen.warm = WarmPython(socket.socket(fileno=int(there)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", WarmPopen)
        yield
    WarmPopen.warm.end()


def _adopt_orphans(does: bool) -> None:
    """Says whether children of children become this process's own when their parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(does), 0, 0, 0)
