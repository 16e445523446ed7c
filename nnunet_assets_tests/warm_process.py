"""The process of a warm Python: it imports what nnU-Net imports, and forks what it is asked for.

    python -m nnunet_assets_tests.warm_process FD ROOM
    python -m nnunet_assets_tests.warm_process tests PYTEST_OPTION ... ROOM

The first serves a socket that it inherits; the second becomes pytest, with one that serves beside it. A child is made
what was asked for, step by step what Python does at its start, and knows nothing of the others.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from nnunet_assets_tests.warm_commands import SAFE_PATH, main_of
from nnunet_assets_tests.warm_python import BESIDE, THERE, WarmPopen, WarmPython

TESTS = "tests"

OWN_FD = 200
"""Where its end of the socket lies: beyond all files that children are given by number."""

IMPORTED_ANEW = ("nnunetv2", "nnunet_assets", "nnunet_assets_tests")
"""Packages that read the environment when they are imported, or are what is tested."""


def main(fd: int) -> NoReturn:
    """Imports, and forks until nobody can ask any more."""
    _import_libraries()
    with socket.socket(fileno=fd) as asked:
        asked.send(b"\1")
        _serve(asked)


def run_tests(arguments: list[str]) -> NoReturn:
    """Imports, and becomes pytest, with one beside it: what both need is imported once."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell that runs them in the background ignores
    _import_libraries()
    os.environ[THERE] = str(_beside().detach())
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 (as with `-m pytest`)
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
    path = list(sys.path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nnunetv2.ensembling.ensemble
        import nnunetv2.inference.predict_from_raw_data
        import nnunetv2.run.run_training  # noqa: F401
    for name in list(sys.modules):
        if name.partition(".")[0] in IMPORTED_ANEW:
            del sys.modules[name]
    sys.path[:] = path  # to which older versions of what is imported add folders of their own
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
    main = main_of(command)
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
    del sys.path[0]  # where the tests lie
    # Behind what it is told there is room, in its command line, for those of its children.
    told = sys.argv[1:-1]
    if told[0] == TESTS:
        run_tests(told[1:])
    main(int(told[0]))
