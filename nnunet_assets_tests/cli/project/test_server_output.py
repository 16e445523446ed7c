"""What of the servers' output a person sees in the terminal of `dev`."""

from pathlib import Path

import pytest

from nnunet_assets.cli.project.server_output import Choice, shown_output

PRINTED = """\
/x/click/core.py:911: SupersessionWarning: Function `dev_command` is superseded and its usage is discouraged.
  return callback(*args, **kwargs)
\x1b[32m2026-11-30 04:01:03 +0000\x1b[0m - dagster - \x1b[34mINFO\x1b[0m - Launching Dagster services...
2026/11/30 04:01:43 INFO:     127.0.0.1:33690 - "GET /health HTTP/1.1" 200 OK
INFO  [alembic.runtime.migration] Context impl SQLiteImpl.
2026-11-30 04:02:09 +0000 - dagster.daemon.EventLogConsumerDaemon - WARNING - No cursor for event type X, ignoring
2026-11-30 04:02:11 +0000 - dagster - DEBUG - train - id - 33 - RUN_START - Started execution of run for "train".
2026-11-30 04:02:12 +0000 - dagster - WARNING - train - id - fold_0 - It waits for a GPU.
2026-11-30 04:02:13 +0000 - dagster - \x1b[31mERROR\x1b[0m - train - id - STEP_FAILURE - Execution of step failed.

dagster._core.definitions.events.Failure: fold_0: There is no such device.

Stack Trace:
  File "/x/fold_model.py", line 3, in fold_model
2026-11-30 04:02:13 +0000 - dagster - ERROR - x - id - RUN_FAILURE - Execution of run for "x" failed. Steps failed: [1]

dagster._core.definitions.events.Failure: fold_0: There is no such device.
2026-11-30 04:02:14 +0000 - dagster.daemon - INFO - Checking for new runs
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/x.py", line 1, in <module>
ValueError: INFO: this is not a header
2026-11-30 04:02:15 +0000 - dagster.daemon.SensorDaemon - INFO - Sensor skipped: an ERROR of yesterday.
"""
SEEN = [
    "2026-11-30 04:02:12 +0000 - dagster - WARNING - train - id - fold_0 - It waits for a GPU.",
    "2026-11-30 04:02:13 +0000 - dagster - ERROR - train - id - STEP_FAILURE - Execution of step failed.",
    "",
    "dagster._core.definitions.events.Failure: fold_0: There is no such device.",
    "",
    "ERROR:    Exception in ASGI application",
    "Traceback (most recent call last):",
    '  File "/x.py", line 1, in <module>',
    "ValueError: INFO: this is not a header",
]


def test_warnings_and_errors_are_shown_with_what_belongs_to_them_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "dagster.log"
    log.write_text("2026-11-29 00:00:00 +0000 - dagster - ERROR - of the day before\n")
    with shown_output([log, tmp_path / "none.log"]) as show_rest:
        with log.open("a") as out:
            out.write(PRINTED[:700])
        show_rest()
        with log.open("a") as out:
            out.write(PRINTED[700:])
    assert capfd.readouterr().out.splitlines() == SEEN


def test_a_traceback_is_shown_wherever_it_stands() -> None:
    choice = Choice()
    lines = ["Registry store URI not provided.", "Traceback (most recent call last):", "OSError: no", "INFO: on"]
    assert [choice.shows(line) for line in lines] == [False, True, True, False]
