"""A run waits for a database that is away, in place of ending since an event cannot be written.

Dagster tries for a few seconds and then raises, in whatever the run is at: a fold that has trained for a day ends with
a database that is restarted. Here what a run logs is kept until the database is back, and never waited for; what says
how the run is (a step began, a model is materialized) is written after it, in its order, however long that takes.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import IN_PROC_CONFIG

PAUSE_SECONDS = 10.0
"""Between two attempts, of which each takes some seconds by itself."""
LONGEST_SECONDS = 24 * 3600.0
"""After that the run ends, and a run that is started instead finds the fold as it is on the disk."""
ENDING_SECONDS = 60.0
"""The same once the run was interrupted while it waited: whoever ends it is not to wait for a database, too."""
MOST_LINES = 10_000
"""Of a log, kept in memory; older ones are in the fold's own log all the same."""

_OF_CONNECTIONS = {"OperationalError", "InterfaceError"}


class PatientEvents:
    """Takes an instance's events, and writes each when its database takes it.

    Args:
        write: The instance's own way to.
        pause: Waits for so many seconds.
    """

    def __init__(self, write: Callable[..., None], pause: Callable[[float], object] = time.sleep) -> None:
        self._write, self._pause = write, pause
        self._lines: deque[tuple[dg.EventLogEntry, Any]] = deque(maxlen=MOST_LINES)
        # Lines come from the thread that listens to a fold's process, too.
        self._lock = threading.RLock()
        self._next_attempt = 0.0
        self._longest = LONGEST_SECONDS

    def handle(self, event: dg.EventLogEntry, *, batch_metadata: Any = None) -> None:
        """Takes an event in place of `DagsterInstance.handle_new_event`."""
        with self._lock:
            if event.dagster_event is None:
                self._lines.append((event, batch_metadata))
                if time.monotonic() >= self._next_attempt:
                    self._try_lines()
                return
            until = time.monotonic() + self._longest
            while not self._try_all(event, batch_metadata):
                if time.monotonic() > until:
                    self._write(event, batch_metadata=batch_metadata)
                try:
                    self._pause(PAUSE_SECONDS)
                except BaseException:  # what signals raise
                    self._longest = ENDING_SECONDS
                    raise

    def _try_all(self, event: dg.EventLogEntry, batch_metadata: Any) -> bool:
        if not self._try_lines():
            return False
        return self._try(event, batch_metadata)

    def _try_lines(self) -> bool:
        while self._lines:
            if not self._try(*self._lines[0]):
                return False
            self._lines.popleft()
        return True

    def _try(self, event: dg.EventLogEntry, batch_metadata: Any) -> bool:
        try:
            self._write(event, batch_metadata=batch_metadata)
        except Exception as error:
            if not is_away(error):
                raise
            self._next_attempt = time.monotonic() + PAUSE_SECONDS
            print("Dagster's database does not answer; the run goes on, and waits with its events.", file=sys.stderr)
            return False
        return True


@dg.executor(name="in_process", config_schema=IN_PROC_CONFIG)
def patient_in_process_executor(init_context: dg.InitExecutorContext) -> dg.Executor:
    """Returns Dagster's own `in_process_executor`, for a run that waits for its database.

    An executor is the one thing that every run of a code location has, also one of a user's own assets.
    """
    be_patient(init_context.instance)
    return dg.in_process_executor.executor_creation_fn(init_context)  # type: ignore[misc]


def be_patient(instance: dg.DagsterInstance) -> None:
    """Has an instance, in the process of a run, wait for its database; one in files is never away."""
    if type(instance.event_log_storage).__module__.startswith("dagster_postgres"):
        # Dagster has no seam for it: its handler of logs calls the instance, and raises what that raises.
        instance.handle_new_event = PatientEvents(instance.handle_new_event).handle  # type: ignore[method-assign]


def is_away(error: BaseException) -> bool:
    """Tells whether an error is that of a database which cannot be reached, as psycopg2 says it."""
    link: BaseException | None = error
    while link is not None:
        of_driver = [kind for kind in type(link).__mro__ if kind.__module__.startswith("psycopg2")]
        if any(kind.__name__ in _OF_CONNECTIONS for kind in of_driver):
            return True
        link = link.__cause__ or link.__context__
    return False
