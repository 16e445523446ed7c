"""How a child process says what became of its work: the exit codes of sysexits.h where one fits."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the fold and planning processes; anything else is a crash."""

    DONE = 0
    BAD_INPUT = 64
    """Wrong data, configuration or device: trying again changes nothing."""
    CHANGED_INPUT = 65
    """The data is not what the fold was asked to train on."""
    BUG = 70
    NO_SPACE = 73
    STOPPED = 75
    """Ended on request (SIGINT, SIGTERM); the last checkpoint stands."""
    OWNED = 76
    """Another living process trains this fold."""
    DIVERGED = 77
    """The loss is not a number."""


def describe_exit(code: int) -> str:
    """Returns what an exit code says, in words; a negative code is the signal that ended the process."""
    if code == -9:
        return "was killed (SIGKILL), most often because the machine ran out of memory"
    if code < 0:
        return f"was ended by signal {-code}"
    try:
        known = ExitCode(code)
    except ValueError:
        return f"ended with exit code {code}"
    return {
        ExitCode.DONE: "is done",
        ExitCode.BAD_INPUT: "was given something wrong",
        ExitCode.CHANGED_INPUT: "found other data than it was asked to use",
        ExitCode.BUG: "failed unexpectedly",
        ExitCode.NO_SPACE: "ran out of disk space",
        ExitCode.STOPPED: "was stopped on request",
        ExitCode.OWNED: "is already being trained by another process",
        ExitCode.DIVERGED: "diverged: its loss is not a number",
    }[known]
