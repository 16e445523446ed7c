from typing import Any

import pytest

from nnunet_assets.processes.exit_codes import ExitCode, FailureClass, describe_exit, failure_class


@pytest.mark.parametrize("code", list(ExitCode))
def test_each_exit_code_has_words(code: Any) -> None:
    assert describe_exit(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "was killed (SIGKILL), most often because the machine ran out of memory"),
        (-11, "was ended by signal 11"),
        (1, "ended with exit code 1"),
        (75, "was stopped on request"),
    ],
)
def test_crashes_are_told_apart(code: int, words: str) -> None:
    assert describe_exit(code) == words


@pytest.mark.parametrize(
    ("is_oom_kill", "words"),
    [
        (True, "when the kernel ran out of memory and ended processes"),
        (False, " by a person, a scheduler or a daemon: the kernel did not lack memory"),
    ],
)
def test_a_kill_says_what_the_kernel_knows_of_it(is_oom_kill: bool, words: str) -> None:
    assert describe_exit(-9, is_oom_kill=is_oom_kill).endswith(words)
    assert describe_exit(75, is_oom_kill=is_oom_kill) == "was stopped on request"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (ExitCode.OUT_OF_GPU_MEMORY, FailureClass.OUT_OF_GPU_MEMORY),
        (ExitCode.GPU_LOST, FailureClass.GPU_LOST),
        (ExitCode.OUT_OF_MEMORY, FailureClass.OUT_OF_MEMORY),
        (ExitCode.NO_SPACE, FailureClass.DISK_FULL),
        (ExitCode.DIVERGED, FailureClass.DIVERGED),
        (ExitCode.BAD_INPUT, FailureClass.BAD_INPUT),
        (ExitCode.CHANGED_INPUT, FailureClass.BAD_INPUT),
        (ExitCode.OWNED, FailureClass.OWNED),
        (ExitCode.STOPPED, FailureClass.INTERRUPTED),
        (ExitCode.BUG, FailureClass.CRASHED),
        (-9, FailureClass.KILLED),
        (-7, FailureClass.OUT_OF_MEMORY),
        (-15, FailureClass.INTERRUPTED),
        (-11, FailureClass.CRASHED),
        (1, FailureClass.CRASHED),
    ],
)
def test_each_exit_has_its_class(code: Any, expected: Any) -> None:
    assert failure_class(code) is expected
