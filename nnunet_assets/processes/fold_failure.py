"""How a fold's process ended without a result, and whether another try by itself could end otherwise."""

from nnunet_assets.errors import FoldError
from nnunet_assets.processes.exit_codes import FailureClass, failure_class
from nnunet_assets.processes.supervisor import CURES

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
