"""When what is sent to a run of MLflow was made, where the clock may have been set back since the run began."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import RunInfo


def later_than(info: "RunInfo") -> int:
    """Returns now, in milliseconds since 1970-01-01 UTC, or just after the times that a run has, if these are later.

    No run ends before it began, and of two points MLflow shows the later one, whichever was sent last.
    """
    return max(time.time_ns() // 1_000_000, 1 + max(info.start_time or 0, info.end_time or 0))
