"""A Python that has imported what nnU-Net imports, and forks for tests what would import it again, for 6 s each.

What it forks is what `python` would have started: a child of the process of the tests, in a session and a folder of its
own, with the arguments, files and variables that it was given, which runs a module, a script or code as its main one
and imports nnU-Net and this package itself. Only the libraries below them are there already. Tests that `side_by_side`
starts as its child share even its imports; a child that starts children of that kind has one too. Whole starts are seen
where others start these processes: in `test_end_to_end`, and in the trials of `faults`, which have none of this.
"""

import array
import atexit
import ctypes
import gc
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest

PR_SET_CHILD_SUBREAPER = 36
OWN_FD = 200
"""Where its end of the socket lies: beyond all files that children are given by number."""

IMPORTED_ANEW = ("nnunetv2", "nnunet_assets", "nnunet_assets_tests")
"""Packages that read the environment when they are imported, or are what is tested."""

OF_NNUNET = {
    "-m": re.compile(r"nnunetv2\.|nnunet_assets\.nnunet\..*_process$"),
    "-c": re.compile(r"^(?!.*sys\.modules).*^(?:import|from) (?:nnunetv2|torch)\b", re.DOTALL | re.MULTILINE),
}
"""What imports nnU-Net or torch, and does not ask whether it did."""

THERE = "TESTS_WARM_PYTHON"
"""A variable with the socket of one that is there already: beside tests that it has begun with itself."""

BESIDE = "TESTS_WARM_PYTHON_BESIDE"
"""A variable of a child of it that is to have one too, for the children that it starts."""

FLAGS = frozenset({"-P", "-u"})
OF_PYTHON = ("PYTHON", "LD_", "OMP_NUM_THREADS")
"""Variables that a Python or its libraries read at their start, by how they begin; `PYTHONPATH` may hold other ones."""

SAFE_PATH = "PYTHONSAFEPATH"
ROOM = " " * 20_000
"""The end of its command line, in which those of its children find room."""

TESTS = "tests"
"""What is to be a process of tests is called with: `python warm_python.py tests PYTEST_OPTION ... ROOM`."""


class WarmPython:
    """The process that forks; it starts when it is asked for the first time."""

    def __init__(self, there: socket.socket | None = None) -> None:
        self._socket = there
        self._process: subprocess.Popen[bytes] | None = None
        self._variables: dict[str, str] = {}

    def takes(self, command: list[str], environment: Mapping[str, str]) -> bool:
        """Tells whether it would start the same as this command of the same interpreter."""
        self._variables = self._variables or dict(os.environ)
        here, there = _read_at_start(self._variables), _read_at_start(environment)
        return here == there and _main_of(command) is not None

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
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno()), ROOM],
                env=self._variables,
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


def _read_at_start(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables in which a Python that is there already must not differ."""
    return {
        name: value
        for name, value in variables.items()
        if value and name.startswith(OF_PYTHON) and name not in (SAFE_PATH, "PYTHONUNBUFFERED")
    }


def _main_of(command: list[str]) -> tuple[str, str, int] | None:
    """Returns what a command of this Python runs: `-m`, `-c` or a script, which, and where its arguments begin.

    None: it imports no nnU-Net, or is none that a Python which is there already could run.
    """
    if not command:
        return None
    if command[0].startswith(f"{Path(sys.executable).parent}{os.sep}nnUNetv2_"):
        return "script", command[0], 1
    at = next((index for index, word in enumerate(command) if index and word not in FLAGS), 0)
    kind, what = command[at], "".join(command[at + 1 : at + 2])
    is_ours = command[0] == sys.executable and kind in OF_NNUNET and OF_NNUNET[kind].match(what)
    return (kind, what, at + 2) if is_ours else None


def _adopt_orphans(does: bool) -> None:
    """Says whether children of children become this process's own when their parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(does), 0, 0, 0)


# --- in the process that forks ----------------------------------------------------------------------------------


def main(fd: int) -> NoReturn:
    """Imports, and forks until nobody can ask any more."""
    _import_libraries()
    with socket.socket(fileno=fd) as asked:
        asked.send(b"\1")
        _serve(asked)


def run_tests(arguments: list[str]) -> NoReturn:
    """Imports, and becomes pytest, with one beside it: what both need is imported once."""
    del sys.path[0]  # this file's folder
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell that runs them in the background ignores
    _import_libraries()
    os.environ[THERE] = str(_beside().detach())
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 (as with `-m`)
    sys.argv = ["pytest", *arguments]
    code = _run("-m", "pytest")
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # what of nnU-Net's was forgotten would be missed at a usual end


def _beside() -> socket.socket:
    """Returns the socket of a child that forks as long as this process lives."""
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        _serve(theirs)
    theirs.close()
    return ours


def _serve(asked: socket.socket) -> NoReturn:
    """Forks until nobody can ask any more."""
    os.dup2(asked.fileno(), OWN_FD)
    asked.close()
    ours, owner = socket.socket(fileno=OWN_FD), os.getppid()
    while True:
        size, fds, _, _ = socket.recv_fds(ours, 8, OWN_FD)
        if not size:
            os._exit(0)  # as above
        message = ours.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)
        if child := os.fork():
            os.waitpid(child, 0)
            for each in fds:
                os.close(each)
            continue
        between = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == between:
            os.sched_yield()
        if os.getppid() != owner:  # which has ended meanwhile
            os._exit(1)
        _become(json.loads(message), fds, ours)


def _import_libraries() -> None:
    """Imports what nnU-Net imports, and forgets what is imported anew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nnunetv2.ensembling.ensemble
        import nnunetv2.inference.predict_from_raw_data
        import nnunetv2.run.run_training  # noqa: F401
    for name in list(sys.modules):
        if name.partition(".")[0] in IMPORTED_ANEW:
            del sys.modules[name]
    gc.collect()
    gc.freeze()


def _become(request: dict[str, Any], fds: list[int], ours: socket.socket) -> NoReturn:
    """Makes this process what was asked for, says so, and ends with it."""
    if request["new_session"]:
        os.setsid()
    high = [os.dup2(fd, OWN_FD + 1 + index) for index, fd in enumerate(fds)]
    os.closerange(3, OWN_FD)
    for fd, number in zip(high, request["fds"], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    command, variables = request["command"], request["environment"]
    _name_process(command)
    os.chdir(request["folder"])
    has_one_beside = variables.pop(BESIDE, None)
    os.environ.clear()
    os.environ.update(variables)
    main = _main_of(command)
    assert main is not None
    kind, what, arguments = main
    is_safe = "-P" in command[:arguments] or variables.get(SAFE_PATH)
    first = [] if is_safe else [{"-c": "", "-m": os.getcwd(), "script": os.path.dirname(what)}[kind]]  # noqa: PTH109, PTH120
    sys.path[:0] = first
    sys.argv = [what if kind == "script" else kind, *command[arguments:]]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = os.fdopen(number, "r" if number == 0 else "w", buffering=1, closefd=False)
        file.reconfigure(write_through=True)  # as with -u
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    ours.send(os.getpid().to_bytes(8, "big"))
    ours.close()
    if has_one_beside:
        WarmPopen.warm = WarmPython(_beside())
        subprocess.Popen = WarmPopen  # type: ignore[misc]
    os._exit(_run(kind, what))


def _run(kind: str, what: str) -> int:
    """Runs what is now the main module, and returns the code to exit with, as Python does."""
    try:
        if kind == "-m":
            runpy._run_module_as_main(what)  # type: ignore[attr-defined]
        else:
            module = sys.modules["__main__"] = ModuleType("__main__")
            code = what if kind == "-c" else Path(what).read_text()
            exec(compile(code, "<string>" if kind == "-c" else what, "exec"), module.__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 (as the interpreter does at its end)
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _name_process(command: list[str]) -> None:
    """Lets others who look for its command line see this one."""
    start, end = (int(field) for field in Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    text = b"\0".join(word.encode() for word in command)[: end - start - 1]
    ctypes.memmove(start, text.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    # Behind what it is told there is room, in its command line, for those of its children.
    told = sys.argv[1:-1]
    if told[0] == TESTS:
        run_tests(told[1:])
    main(int(told[0]))
