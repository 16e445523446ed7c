import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from nnunet_assets.processes import child as child_module
from nnunet_assets.processes.child import run_child
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.tiny_request import TinyRequest, with_modules_of

# What the child does; `work` is its body, and `parent.pids` in its folder names it and the workers that it started.
CHILD = """
import errno, json, multiprocessing, os, signal, subprocess, sys, threading, time
from pathlib import Path
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.errors import DatasetError
from nnunet_assets.processes.child import ChildFailure, child_main
from nnunet_assets_tests.tiny_request import TinyRequest

def start_workers():
    # As nnU-Net: workers that are forked (augmentation), and processes that are not (its spawned pools).
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
    forked.start()
    other = subprocess.Popen(["sleep", "600"])
    ready = Path(sys.argv[1]) / "pids.json.part"
    ready.write_text(json.dumps([os.getpid(), forked.pid, other.pid]))
    ready.rename(ready.with_name("pids.json"))

def work(request):
    {body}

if __name__ == "__main__":
    child_main(TinyRequest, work)
"""


NOTHING_ASKED = TinyRequest()


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs a child with this body."""

    def run_body(body: str, request: Any = NOTHING_ASKED, **options: Any) -> Any:
        write_child(tmp_path, body)
        own = tmp_path / "own"
        return run_child("tiny_child", request, folder=own, environment=with_modules_of(tmp_path), **options)

    return run_body


def write_child(folder: Any, body: str) -> None:
    text = dedent(body).strip().replace("\n", "\n    ")
    (folder / "tiny_child.py").write_text(CHILD.replace("{body}", text))


DEAF = "signal.signal(signal.SIGINT, signal.SIG_IGN); start_workers(); time.sleep(600)"
"""A child that no request ends, as where a library hangs."""


def pids_of(folder: Any, timeout_seconds: int = 20) -> Any:
    """Returns the ids of the child and of its two workers once they run."""
    path = folder / "own" / "pids.json"
    deadline = time.monotonic() + timeout_seconds
    while not path.exists():
        assert time.monotonic() < deadline, "the child did not start its workers"
        time.sleep(0.02)
    return json.loads(path.read_text())


def test_a_child_gets_its_request_and_what_it_prints_is_kept(run: Any, tmp_path: Path) -> None:
    result = run("print('wanted:', request.fold); print('é', file=sys.stderr)", TinyRequest("fold_3"))
    assert (result.code, result.problem, result.log_tail) == (0, None, "wanted: fold_3\né\n")
    assert (tmp_path / "own" / "output.log").read_text() == "wanted: fold_3\né\n"


@dataclass(frozen=True)
class NewerRequest:
    """What a later version of the package asks for."""

    fold: int
    priority: int


def test_a_request_of_another_version_of_the_package_is_wrong_usage_in_one_sentence(run: Any, tmp_path: Path) -> None:
    result = run("print('worked')", NewerRequest(fold=3, priority=1))
    assert result.code == ExitCode.BAD_INPUT
    assert result.problem.startswith(
        f"{tmp_path / 'own' / 'request.json'} is not the TinyRequest that this process takes: fold should be a valid "
        "string, and is 3, priority is not known. Most often another version of nnunet_assets wrote it"
    )
    assert "worked" not in result.log_tail


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        ("raise ChildFailure(ExitCode.DIVERGED, 'The loss is not a number.')", 77, "The loss is not a number."),
        ("raise DatasetError('case_1 is torn.')", 64, "case_1 is torn."),
        ("raise OSError(errno.ENOSPC, 'full', '/a/b')", 73, "No space is left on the disk for /a/b."),
        ("raise OSError(errno.EDQUOT, 'quota')", 73, "No space is left on the disk for the results."),
        ("raise OSError(errno.EIO, 'io')", 70, "The process failed unexpectedly: OSError: [Errno 5] io"),
        (
            "raise RuntimeError('CUDA out of memory. Tried')",
            78,
            "The GPU ran out of memory: CUDA out of memory. Tried.",
        ),
        ("raise RuntimeError('CUDA error: unspecified launch failure')", 79, "The GPU failed: CUDA error: unspecified"),
        ("raise MemoryError('Unable to allocate 7 GiB')", 80, "The machine ran out of memory: MemoryError: Unable to"),
        ("sys.exit(0)", 70, "The process failed unexpectedly: SystemExit: 0"),
        (
            "print('last words'); os._exit(9)",
            9,
            "The process ended with exit code 9. The last it printed was: last wor",
        ),
        ("os._exit(9)", 9, "The process ended with exit code 9. The last it printed was: nothing"),
        (
            "print('a'); os.kill(os.getpid(), signal.SIGKILL)",
            -9,
            "The process was killed (SIGKILL) ",
        ),
        ("os.kill(os.getpid(), signal.SIGTERM)", 75, "The process was stopped on request (SIGINT or SIGTERM)."),
        ("os.kill(os.getpid(), signal.SIGINT)", 75, "The process was stopped on request (SIGINT or SIGTERM)."),
    ],
)
def test_each_way_to_end_has_its_code_and_its_sentence(run: Any, body: str, code: int, problem: str) -> None:
    result = run(body)
    assert result.code == code
    assert result.problem.startswith(problem)


def test_a_child_and_its_pools_end_though_a_script_in_the_background_ignores_the_signals(run: Any) -> None:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        result = run(
            """
            worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
            worker.start()
            worker.terminate()  # as nnU-Net's pools do
            worker.join(20)
            print("worker:", worker.exitcode)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)
            """
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert result.log_tail.startswith(f"worker: {-signal.SIGTERM}\n")
    assert result.code == ExitCode.STOPPED


def test_a_crash_shows_where(run: Any) -> None:
    assert 'raise RuntimeError("here")' in run('raise RuntimeError("here")').log_tail


def test_a_crash_does_not_wait_for_threads_and_workers_that_never_end(run: Any) -> None:
    start = time.monotonic()
    result = run("start_workers(); threading.Thread(target=time.sleep, args=(600,)).start(); raise ValueError('now')")
    assert result.code == ExitCode.BUG
    assert time.monotonic() - start < 10


def test_what_the_process_printed_before_it_was_killed_is_there(run: Any) -> None:
    result = run("print('epoch 7'); os.kill(os.getpid(), signal.SIGKILL)")
    assert result.log_tail == "epoch 7\n"


def test_the_tail_is_the_end_of_this_attempt_and_the_log_keeps_the_ones_before(run: Any, tmp_path: Path) -> None:
    run("print('first')")
    result = run("print('second')")
    assert result.log_tail == "second\n"
    assert (tmp_path / "own" / "output.log").read_text() == "first\nsecond\n"
    assert run("print('x' * 9000)").log_tail == "x" * 3999 + "\n"


def test_the_reason_of_an_earlier_attempt_is_forgotten(run: Any) -> None:
    run("raise DatasetError('old')")
    assert "old" not in run("os._exit(3)").problem


def test_the_parent_looks_in_on_the_child_while_it_runs_and_once_after(run: Any) -> None:
    seen = []
    run("time.sleep(0.5)", on_poll=lambda: seen.append(1), poll_seconds=0.05)
    assert len(seen) > 3


def test_nothing_of_the_group_outlives_the_child(run: Any, tmp_path: Path) -> None:
    assert run("start_workers()").code == 0
    assert living(pids_of(tmp_path)) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_the_call_ends_the_whole_group(run: Any, tmp_path: Path, error: Any) -> None:
    def fail_once_it_runs() -> None:
        if (tmp_path / "own" / "pids.json").exists():
            raise error

    start = time.monotonic()
    with pytest.raises(error):
        run("start_workers(); time.sleep(600)", on_poll=fail_once_it_runs, poll_seconds=0.05)
    assert living(pids_of(tmp_path)) == []
    assert time.monotonic() - start < 8


def test_a_child_that_does_not_end_is_killed_after_a_grace(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_module, "GRACE_SECONDS", 0.5)

    def fail_once_it_runs() -> None:
        if (tmp_path / "own" / "pids.json").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(DEAF, on_poll=fail_once_it_runs, poll_seconds=0.05)
    assert living(pids_of(tmp_path)) == []


def test_a_second_interruption_does_not_spare_the_group(run: Any, tmp_path: Path) -> None:
    def interrupt_twice() -> None:
        if (tmp_path / "own" / "pids.json").exists():
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(DEAF, on_poll=interrupt_twice, poll_seconds=0.05)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert living(pids_of(tmp_path)) == []


def test_a_forked_worker_ends_in_silence(run: Any) -> None:
    result = run(
        """
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        worker.start()
        time.sleep(0.3)
        worker.terminate()
        worker.join()
        print("it ended by signal", -worker.exitcode)
        """
    )
    assert (result.code, result.log_tail) == (0, "it ended by signal 15\n")


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_a_worker_that_is_killed_ends_the_child_where_its_pool_would_wait_without_end(
    run: Any, start_method: str
) -> None:
    result = run(
        f"""
        pool = multiprocessing.get_context("{start_method}").Pool(1)
        lost = pool.apply_async(time.sleep, (600,))
        time.sleep(1)
        os.kill(pool._pool[0].pid, signal.SIGKILL)
        lost.get()
        """
    )
    assert result.code == ExitCode.OUT_OF_MEMORY
    assert re.match(r"A worker process \(\w+PoolWorker-1, process \d+\) was killed by signal 9, most", result.problem)


def test_workers_that_are_no_longer_needed_end_as_they_like(run: Any) -> None:
    result = run(
        """
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(abs, [1, 2])
            time.sleep(1.2)
        failed = multiprocessing.get_context("fork").Process(target=os._exit, args=(1,))
        failed.start()
        time.sleep(1.2)
        failed.join()
        print(failed.exitcode)
        """
    )
    assert (result.code, result.log_tail) == (0, "1\n")


def test_an_augmentation_worker_that_failed_is_told_from_one_that_was_killed(run: Any) -> None:
    dead = "raise RuntimeError('One or more background workers are no longer alive. Exiting.')"

    def run_where_a_worker_said(words: Any, error: Any) -> Any:
        said = f"Exception in background worker 0:\\n {words}\\nTraceback (most recent call last):\\n{error}: {words}"
        return run(f"print('{said}')\n{dead}")

    failed = run_where_a_worker_said("No such file: case_7.b2nd", "FileNotFoundError")
    assert (failed.code, failed.problem) == (70, "A worker process failed: No such file: case_7.b2nd.")
    assert run_where_a_worker_said("Unable to allocate", "numpy._core._exceptions._ArrayMemoryError").code == 80
    run_where_a_worker_said("No such file: case_7.b2nd", "FileNotFoundError")
    assert run(dead).code == 80  # what an earlier attempt printed is no longer true


PARENT = """
import os, sys
from pathlib import Path
from nnunet_assets.processes.child import run_child
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.tiny_request import TinyRequest
run_child("tiny_child", TinyRequest(), folder=Path(sys.argv[1]) / "own", environment=dict(os.environ))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
@pytest.mark.parametrize("stuck", ["", "signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_is_killed_takes_the_child_and_its_workers_with_it(
    tmp_path: Path, death: Any, stuck: str
) -> None:
    write_child(tmp_path, f"{stuck}start_workers(); time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], env=with_modules_of(tmp_path)) as parent:
        pids = pids_of(tmp_path)
        parent.send_signal(death)
        assert living(pids) == []


FORKS = """
import os, signal, time
from nnunet_assets.processes.child import end_workers_in_silence
signal.signal(signal.SIGTERM, signal.default_int_handler)
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))  # before the worker is itself
end_workers_in_silence()
if not (worker := os.fork()):
    time.sleep(20)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_a_worker_that_is_ended_in_the_moment_of_its_start_ends() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split(maxsplit=1) == [str(-signal.SIGTERM), "set()\n"]
