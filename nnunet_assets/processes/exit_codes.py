"""How a child process says what became of its work, and what kind of failure that is.

The exit codes of sysexits.h where one fits. The classes are what a supervisor, Dagster, MLflow and a person act on.
"""

import signal
from enum import IntEnum, StrEnum


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
    OUT_OF_GPU_MEMORY = 78
    GPU_LOST = 79
    """The GPU failed: no later call of this process can use it."""
    OUT_OF_MEMORY = 80
    """The machine's memory ran out, or a worker process was killed, most often for that reason."""


class FailureClass(StrEnum):
    """The kinds of failure; the value is the word in Dagster's metadata and MLflow's tag."""

    OUT_OF_GPU_MEMORY = "out_of_gpu_memory"
    GPU_LOST = "gpu_lost"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"
    """By somebody's SIGKILL: the kernel's, when memory ran out, as a rule."""
    DISK_FULL = "disk_full"
    DIVERGED = "diverged"
    BAD_INPUT = "bad_input"
    OWNED = "owned"
    INTERRUPTED = "interrupted"
    CRASHED = "crashed"

    @property
    def remedy(self) -> str:
        """What to do, as a sentence; empty where the error's own message says it."""
        return _REMEDIES.get(self, "")


_MORE_MEMORY = (
    "Train fewer folds at once, set nnUNet_n_proc_DA and nnUNet_def_n_proc to fewer workers, or use a machine with "
    "more memory (in Docker also shared memory: --shm-size=8g). The last checkpoint stands."
)

_REMEDIES = {
    FailureClass.OUT_OF_GPU_MEMORY: "End what else uses the GPU, take one with more memory, or train with a smaller "
    "batch or patch: write them into a copy of the plans file, rename it (its plans_name too) and declare that name as "
    "`plans`.",
    FailureClass.GPU_LOST: "Look at `nvidia-smi` and the kernel's log (`dmesg`, lines with Xid); a GPU that is lost "
    "needs a reset or a restart of the machine. A device-side assert that comes back is most often a label value that "
    "dataset.json does not declare. The last checkpoint stands.",
    FailureClass.OUT_OF_MEMORY: _MORE_MEMORY,
    FailureClass.KILLED: _MORE_MEMORY,
    FailureClass.DISK_FULL: "Make room and start it again: a fold goes on from its last checkpoint.",
    FailureClass.INTERRUPTED: "Start it again: a fold goes on from its last checkpoint.",
}

_CLASSES = {
    ExitCode.BAD_INPUT: FailureClass.BAD_INPUT,
    ExitCode.CHANGED_INPUT: FailureClass.BAD_INPUT,
    ExitCode.NO_SPACE: FailureClass.DISK_FULL,
    ExitCode.STOPPED: FailureClass.INTERRUPTED,
    ExitCode.OWNED: FailureClass.OWNED,
    ExitCode.DIVERGED: FailureClass.DIVERGED,
    ExitCode.OUT_OF_GPU_MEMORY: FailureClass.OUT_OF_GPU_MEMORY,
    ExitCode.GPU_LOST: FailureClass.GPU_LOST,
    ExitCode.OUT_OF_MEMORY: FailureClass.OUT_OF_MEMORY,
    -signal.SIGKILL: FailureClass.KILLED,
    # What touches shared memory that is not there gets.
    -signal.SIGBUS: FailureClass.OUT_OF_MEMORY,
    # Before a child has its own handlers.
    -signal.SIGINT: FailureClass.INTERRUPTED,
    -signal.SIGTERM: FailureClass.INTERRUPTED,
}


def failure_class(code: int) -> FailureClass:
    """Returns what kind of failure an exit code other than 0 is; a negative one is a signal."""
    return _CLASSES.get(code, FailureClass.CRASHED)


def describe_exit(code: int, *, is_oom_kill: bool | None = None) -> str:
    """Returns what an exit code says, in words; a negative code is the signal that ended the process.

    Args:
        code: The exit code.
        is_oom_kill: Whether the kernel killed processes for lack of memory meanwhile; None: not known.
    """
    if code == -signal.SIGKILL:
        return {
            None: "was killed (SIGKILL), most often because the machine ran out of memory",
            True: "was killed (SIGKILL) when the kernel ran out of memory and ended processes",
            False: "was killed (SIGKILL) by a person, a scheduler or a daemon: the kernel did not lack memory",
        }[is_oom_kill]
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
        ExitCode.OUT_OF_GPU_MEMORY: "ran out of GPU memory",
        ExitCode.GPU_LOST: "lost its GPU",
        ExitCode.OUT_OF_MEMORY: "ran out of memory, or lost a worker process",
    }[known]
