"""Children that run nnU-Net: started in a session of their own, watched, and ended with everything they started.

nnU-Net reads its folders when it is imported and starts worker pools of its own, so every step runs in a fresh
process with a folder for its request, its output and, where it fails, the reason.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, TypeVar

from nnunet_assets.core.files.json_file import JsonError, load_json, write_json_atomically
from nnunet_assets.core.files.layout import REQUEST_FILE
from nnunet_assets.core.files.regular_file import open_to_append
from nnunet_assets.core.files.typed_json import Dataclass, dataclass_from_json, dataclass_to_json
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.processes.exit_codes import ExitCode, describe_exit
from nnunet_assets.processes.failures import explain
from nnunet_assets.processes.interpreter import python_command, with_safe_imports
from nnunet_assets.processes.worker_watch import watch_workers

Request = TypeVar("Request", bound=Dataclass)

GRACE_SECONDS = 10
"""How long a child may take to end after SIGINT before its whole group is killed."""

PR_SET_PDEATHSIG = 1

LOG_FILE, FAILURE_FILE = "output.log", "failure.json"

LEAVE_FILE = "LEAVE"
"""In a child's folder; whoever makes it asks the child to save its work when that is whole next, and to end."""


@dataclass(frozen=True)
class ChildResult:
    """How a child ended.

    Attributes:
        code: Its exit code; negative: the signal that ended it.
        problem: What went wrong in a full sentence; None where the code is 0.
        log_tail: The last lines that it printed.
    """

    code: int
    problem: str | None
    log_tail: str


def run_child(
    module: str,
    request: Dataclass,
    *,
    folder: Path,
    environment: Mapping[str, str],
    on_poll: Callable[[], None] = lambda: None,
    poll_seconds: float = 0.5,
    pass_fds: Sequence[int] = (),
) -> ChildResult:
    """Runs a module as a child to its end; whatever ends this call early ends the child's whole process group first.

    Args:
        module: The module to run; it calls `child_main`.
        request: What the child is asked to do; it gets the same value.
        folder: Takes `request.json`, `output.log` (what the child and its workers print, after what earlier attempts
            printed) and `failure.json`.
        environment: The child's whole environment. What it starts in turn imports nothing from the current folder.
        on_poll: Called about every `poll_seconds` while the child runs, and once after its end.
        poll_seconds: Seconds between two looks at the child.
        pass_fds: Open files that the child and its workers hold too, as one whose lock is theirs.
    """
    write_json_atomically(folder / REQUEST_FILE, dataclass_to_json(request))
    (folder / FAILURE_FILE).unlink(missing_ok=True)
    n_oom_kills = _n_oom_kills()
    with open_to_append(folder / LOG_FILE) as log:
        start = log.tell()
        child = subprocess.Popen(
            # Unbuffered: what a killed process printed last is what a person needs.
            python_command("-u", "-m", module, str(folder), str(os.getpid())),
            env=with_safe_imports(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        try:
            while not _ended_within(child, poll_seconds):
                on_poll()
        finally:
            _end_group(child)
    on_poll()
    tail = _tail(folder / LOG_FILE, start)
    is_oom_kill = None if n_oom_kills is None else _n_oom_kills() != n_oom_kills
    return ChildResult(child.returncode, _problem(child.returncode, folder / FAILURE_FILE, tail, is_oom_kill), tail)


def _ended_within(child: "subprocess.Popen[bytes]", seconds: float) -> bool:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    try:
        if child.poll() is None:
            _signal_group(child.pid, signal.SIGINT)
            _ended_within(child, GRACE_SECONDS)
    finally:  # even where a second Ctrl-C cuts the grace short
        # Workers may outlive the process that started them; nothing of the group may hold memory or a GPU afterwards.
        _signal_group(child.pid, signal.SIGKILL)
        child.wait()


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _n_oom_kills() -> int | None:
    """Returns how many processes the kernel has killed for lack of memory, in cgroups too; None: it does not say.

    Of the whole machine: which process it killed, the kernel tells root alone.
    """
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
        return int(counters["oom_kill"])
    except (OSError, KeyError, ValueError):
        return None


def _problem(code: int, failure_file: Path, tail: str, is_oom_kill: bool | None) -> str | None:
    if code == ExitCode.DONE:
        return None
    try:
        return redacted(str(load_json(failure_file)["message"]))
    except (FileNotFoundError, ValueError, KeyError):
        last = tail.strip().splitlines()[-1:] or ["nothing"]
        return f"The process {describe_exit(code, is_oom_kill=is_oom_kill)}. The last it printed was: {last[0]}"


def _tail(log_file: Path, start: int, n_bytes: int = 4000) -> str:
    with log_file.open("rb") as log:
        log.seek(max(start, log_file.stat().st_size - n_bytes))
        return redacted(log.read().decode(errors="replace"))


# --- in the child -----------------------------------------------------------------------------------------------


class ChildFailure(NnunetAssetsError):  # noqa: N818 - reads as what happened
    """Ends a child with a typed exit code and a sentence for its parent."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["ChildFailure"], tuple[ExitCode, str]]:
        """Lets a worker of a process pool raise it: an exception is built anew from what is in `args`."""
        return ChildFailure, (self.code, str(self))


def child_main(kind: type[Request], work: Callable[[Request], None]) -> NoReturn:
    """Does what the parent asked for and ends the process; every way to fail has an exit code and a sentence.

    SIGTERM and SIGINT end the process at once with `ExitCode.STOPPED`; a worker that is killed ends it within a second
    or two with `ExitCode.OUT_OF_MEMORY`.

    Args:
        kind: The dataclass that the parent sends.
        work: Takes it.
    """
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    _stop_on_signals(folder, parent)
    die_with_parent(parent)
    watch_workers(
        on_killed=lambda sentence: _leave(folder, ExitCode.OUT_OF_MEMORY, sentence),
        on_orphaned=lambda: _end_orphaned_group(parent),
    )
    code, problem = outcome_of(lambda: work(sent_request(folder, kind)), folder / LOG_FILE)
    if problem:
        _leave(folder, code, problem)
    os._exit(code)


def sent_request(folder: Path, kind: type[Request]) -> Request:
    """Returns what the parent of this process asked it to do.

    Args:
        folder: Where the parent wrote it.
        kind: The dataclass that it sends.

    Raises:
        ChildFailure: What is there is none of these.
    """
    file = folder / REQUEST_FILE
    try:
        return dataclass_from_json(kind, file.read_bytes())
    except JsonError as error:
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"{file} is not the {kind.__name__} that this process takes: {error}. Most often another version of "
            f"nnunet_assets wrote it, as where a node has one of its own; here {version('nnunet_assets')} runs, by "
            f"{sys.executable}. Install the same on both sides.",
        ) from None


def outcome_of(work: Callable[[], None], log_file: Path) -> tuple[ExitCode, str | None]:
    """Does the work of a process that ends with it; returns its exit code and what went wrong, None: nothing.

    Args:
        work: What is to be done.
        log_file: Takes what this process and its workers print.
    """
    printed_before = log_file.stat().st_size
    try:
        work()
    except ChildFailure as failure:
        return failure.code, str(failure)
    except NnunetAssetsError as error:
        return ExitCode.BAD_INPUT, str(error)
    except BaseException as error:  # noqa: BLE001 (the process ends here; left to the interpreter, it may hang: `_leave`)
        traceback.print_exc()
        return explain(error, _tail(log_file, printed_before, n_bytes=20_000))
    return ExitCode.DONE, None


def _leave(folder: Path, code: ExitCode, message: str) -> NoReturn:
    with suppress(OSError):  # a full disk: the exit code still says it
        # Not print: a signal may have come in the middle of one.
        os.write(2, f"{message}\n".encode())
        write_json_atomically(folder / FAILURE_FILE, {"message": message})
    # Not sys.exit: interpreter shutdown waits for worker pools that will never answer; the parent ends the group.
    os._exit(code)


def _stop_on_signals(folder: Path, parent: int) -> None:
    def stop(*_: object) -> NoReturn:
        # No KeyboardInterrupt: on its way up it would wait for nnU-Net's pools to end, and some code may swallow it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        _end_orphaned_group(parent)
        _leave(folder, ExitCode.STOPPED, "The process was stopped on request (SIGINT or SIGTERM).")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    # Of a process that Ray started, a child inherits that SIGINT is held back.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})


def _end_orphaned_group(parent: int) -> None:
    """Ends this process and its group where the parent is gone: pools that were spawned do not end by themselves."""
    if os.getppid() != parent and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """Makes the kernel end this process, and every worker it forks, when its parent ends.

    A kill of the parent leaves nobody to end the group; without this the training would go on unseen, on a GPU that
    the orchestrator believes to be free. Linux only; elsewhere nothing happens. (The kernel looks at the *thread* that
    started the child; `run_child` stays in it until the child ends.)

    Args:
        parent: Process id of the parent that must be alive.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)  # once, here: loading a library in a process just forked may find the loader locked

    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    os.register_at_fork(after_in_child=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    end_workers_in_silence()
    if os.getppid() != parent:  # it ended before the lines above
        os.kill(os.getpid(), signal.SIGTERM)


def end_workers_in_silence() -> None:
    """Makes SIGTERM and SIGINT end every worker that this process forks from now on; its own handlers are not theirs.

    A signal may come between the fork and that change. Noted for a handler in Python that is gone a moment later, it
    would be lost, and a pool that ends its workers just after their start would wait for ever: both signals wait.
    """
    numbers = {signal.SIGTERM, signal.SIGINT}
    held = threading.local()  # several threads may fork

    def before() -> None:
        held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held.mask)

    def in_worker() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, held.mask)

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_worker)
