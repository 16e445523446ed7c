"""Starts a fold's process again, inside a living run, after the failures that a second start can cure.

A lack of memory is met with fewer workers, a lost GPU with another start. Nobody else tries these again; what is wrong
with the data, the settings or the disk is never tried again by itself. The process goes on from its last checkpoint.
What ended without a result all the same is a `FoldFailed`.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from nnunet_assets.core.files.atomic_files import append_whole
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import FoldError
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import FailureClass, failure_class

Cure = Literal["with half the worker processes", "as it was", "in a new job"]

CURES: Mapping[FailureClass, Cure] = {
    FailureClass.OUT_OF_MEMORY: "with half the worker processes",
    FailureClass.KILLED: "with half the worker processes",
    FailureClass.GPU_LOST: "as it was",
}
MAX_RESTARTS: Mapping[Cure, int] = {"with half the worker processes": 2, "as it was": 1, "in a new job": 2}

RESTARTS_FILE = "restarts.jsonl"


PERMANENT = {
    FailureClass.BAD_INPUT,
    FailureClass.OWNED,
    FailureClass.DIVERGED,
    FailureClass.OUT_OF_GPU_MEMORY,
}


class FoldFailed(FoldError):  # noqa: N818 - reads as what happened
    """A fold's process ended without a result.

    Attributes:
        code: Its exit code; negative: a signal.
        log_tail: The last lines of its output.
    """

    def __init__(self, message: str, code: int, log_tail: str) -> None:
        super().__init__(message)
        self.code = code
        self.log_tail = log_tail

    @property
    def failure(self) -> FailureClass:
        """What kind of failure it was."""
        return failure_class(self.code)

    @property
    def is_permanent(self) -> bool:
        """Whether trying again without a change must fail again, or was tried by `run_fold` itself."""
        return self.failure in PERMANENT or self.failure in CURES


def run_with_restarts(
    start: Callable[[int], ChildResult],
    *,
    own_folder: Path,
    is_done: Callable[[], bool],
    progress: Progress,
    n_saved: Callable[[], int] = lambda: 0,
    cures: Mapping[FailureClass, Cure] = CURES,
) -> ChildResult:
    """Starts a process until it ends in a way that no other start would change, and returns how that was.

    Args:
        start: Runs the process to its end; takes how many times its workers are to be halved.
        own_folder: Takes `restarts.jsonl`: one line a restart with time, class, exit code, reason and cure.
        is_done: Whether the result is there, however the process ended.
        progress: Is warned of each restart.
        n_saved: A number that grows with the work that is saved. Where it grew, the restarts are counted anew: a
            training of days may well meet more than two nights.
        cures: The failures that another start may cure, and how.
    """
    tried: Counter[Cure] = Counter()
    n_halvings, saved = 0, n_saved()
    while True:
        result = start(n_halvings)
        failure = failure_class(result.code)
        cure = cures.get(failure)
        if n_saved() > saved:
            saved = n_saved()
            tried.clear()
        if result.problem is None or is_done() or cure is None or tried[cure] == MAX_RESTARTS[cure]:
            return result
        tried[cure] += 1
        n_halvings += cure == "with half the worker processes"
        _record(own_folder, failure, result, cure)
        progress.warn(
            f"{result.problem} It is started again {cure} and goes on from what is there (restart {tried[cure]} of "
            f"{MAX_RESTARTS[cure]})."
        )


def _record(own_folder: Path, failure: FailureClass, result: ChildResult, cure: Cure) -> None:
    line = {
        "time": datetime.now(UTC).isoformat(),
        "failure": failure,
        "exit_code": result.code,
        "reason": result.problem,
        "started_again": cure,
    }
    append_whole(own_folder / RESTARTS_FILE, json.dumps(line, ensure_ascii=False).encode() + b"\n")
