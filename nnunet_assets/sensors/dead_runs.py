"""Dagster and MLflow say of a run whose process is gone that it ended, soon and whatever ended it.

A process that was killed says nothing more. Its code server notices, where that still runs; after a restart of the
machine nobody does, and Dagster's own monitoring knows no way to ask after a process that its default launcher
started. MLflow never notices. Starting anything again is not this file's business but `run_retries`'.
"""

import json
import re
from collections.abc import Mapping
from typing import Literal

import dagster as dg
import psutil
from dagster._core.storage.runs import SqliteRunStorage

from nnunet_assets.processes.host_name import HOST_TAG, host_name
from nnunet_assets.resources.mlflow import destination_in
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import Status

WITH_PROCESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
# Dagster's own words, in the event by which the process of a run says that it is there.
STARTED_PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")
SPAWNED = "multiprocessing.spawn"
"""In the command line of a process that Dagster's launcher starts for a run."""
CLOCK_SECONDS = 5
"""How far a process's time of birth, counted from the boot, may be off the clock."""

ENDINGS: Mapping[Literal[dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED], Status] = {
    dg.DagsterEventType.RUN_FAILURE: "FAILED",
    dg.DagsterEventType.RUN_CANCELED: "KILLED",
}
MOST_ENDINGS = 500
"""Of each kind in one tick; the rest comes with the next."""


@dg.sensor(
    name="close_dead_runs",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Reports runs whose process is gone, and ends the MLflow runs of whatever failed or was canceled.",
)
def close_dead_runs(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult:
    """Tells Dagster, then MLflow; what MLflow could not be told stays before the cursor, for the next tick."""
    n_reported, n_elsewhere = report_dead_runs(context)
    cursor, endings = _new_endings(context)
    n_closed = _close_mlflow_runs(destination_in(context.repository_def, project.settings), endings) if endings else 0
    found = f"Runs without their process: {n_reported}. Failed or canceled since the last look: {len(endings)}."
    others = f" Left to the machines that they run on: {n_elsewhere}." if n_elsewhere else ""
    return dg.SensorResult(skip_reason=f"{found} MLflow runs closed: {n_closed}.{others}", cursor=json.dumps(cursor))


def report_dead_runs(context: dg.SensorEvaluationContext) -> tuple[int, int]:
    """Reports every active run of this code location and machine whose process is gone, and frees its slots.

    A launcher that starts runs elsewhere looks after them itself.

    Returns:
        How many it reported, and how many are of other machines, where their numbers mean other processes or none.
    """
    instance = context.instance
    if not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return 0, 0
    here = context.code_location_origin.location_name if context.code_location_origin else None
    active = [run for run in instance.get_runs(dg.RunsFilter(statuses=WITH_PROCESS)) if _location(run) == here]
    of_this_host = [run for run in active if _is_of_this_host(instance, run)]
    return sum(_report_if_dead(instance, run) for run in of_this_host), len(active) - len(of_this_host)


def _is_of_this_host(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    host = run.tags.get(HOST_TAG)
    # One without the tag is of Dagster's own launcher: a database in a file is one machine's, a server anybody's.
    return host == host_name() if host else isinstance(instance.run_storage, SqliteRunStorage)


def _location(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return origin.repository_origin.code_location_origin.location_name if origin else None


def _report_if_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    started = _started_process(instance, run.run_id)
    # One that never came as far is Dagster's own business: its monitoring ends it after `start_timeout_seconds`.
    if started is None or _is_running(*started):
        return False
    # A run that ends properly says so before its process goes: only now is its word the last one.
    last = instance.get_run_by_id(run.run_id)
    if last is None or last.status not in WITH_PROCESS:
        return False
    message = f"The process of this run ({started[0]}) is gone: it was killed, or the machine went down."
    if last.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(last, message)
    else:
        instance.report_run_failed(last, f"{message} A fold goes on from its last checkpoint when it runs again.")
    # At once: Dagster frees them after a while only, since the process of a run that ended may be at work still.
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return True


def _started_process(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """Returns the number of a run's process and when it said so, in seconds since 1970; None where it did not yet."""
    # It comes before anything that the run does, so that a long log costs no more.
    events = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=10).records
    for event in events:
        if found := STARTED_PROCESS.match(event.event_log_entry.message):
            return int(found[1]), event.timestamp
    return None


def _is_running(pid: int, seen_at: float) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # it waits for its parent to look
            return False
        # A younger one has got its number: after a restart, numbers begin anew. But births are counted from the boot,
        # and to a clock that was set forward since, the run's own process is younger too: it is known by how Dagster
        # starts it.
        return process.create_time() <= seen_at + CLOCK_SECONDS or SPAWNED in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # none, or another user's
        return False


def _new_endings(context: dg.SensorEvaluationContext) -> tuple[dict[str, int], dict[str, Status]]:
    """Returns the new cursor, the newest event of each kind, and how each run that ended since the old one did."""
    seen = json.loads(context.cursor or "{}")
    endings: dict[str, Status] = {}
    for kind, status in ENDINGS.items():
        new = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=seen.get(kind.value))
        for record in context.instance.fetch_run_status_changes(new, limit=MOST_ENDINGS, ascending=True).records:
            endings[record.run_id] = status
            seen[kind.value] = record.storage_id
    return seen, endings


def _close_mlflow_runs(destination: Destination, endings: dict[str, Status]) -> int:
    from nnunet_assets.tracking.runs import runs
    from nnunet_assets.tracking.store.client import connect

    return runs.close_dead_runs(connect(destination), endings)
