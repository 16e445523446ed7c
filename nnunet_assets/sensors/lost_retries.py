"""Folds whose run was killed, and which Dagster does not start again since it calls their backfill over.

Dagster's own retry starts a killed run once more, unless the backfill that it belongs to has ended. That of `dagster
job backfill` has as soon as its runs are queued; that of a job in the web UI may have where the last of its runs is
killed. Each of them is started once, here; what a user canceled is not.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus

from nnunet_assets.assets.fold.fold_backfill import BACKFILL_TAG, PARTITION_TAG, WILL_RETRY_TAG
from nnunet_assets.assets.fold.fold_model import INSTEAD_TAG

SETTLED_SECONDS = 20
"""Dagster's own retry looks every five seconds, and its word comes first."""

OLDEST = timedelta(days=2)
"""What was killed before that is not started by surprise."""

MARGIN_SECONDS = 3600.0
"""Runs that were decided about so long ago are not even read: a tick costs as much after years as after an hour."""

Fold = tuple[dg.AssetKey, str]
"""The asset of an experiment's folds, and a partition of it."""

_OVER = (BulkActionStatus.COMPLETED, BulkActionStatus.COMPLETED_SUCCESS, BulkActionStatus.COMPLETED_FAILED)


def build_retry_sensor(jobs: Mapping[str, dg.AssetKey]) -> dg.SensorDefinition:
    """Returns the sensor that starts such folds once more.

    Args:
        jobs: The jobs that train folds, by name, with the asset of the folds.
    """

    @dg.sensor(
        name="start_killed_folds_again",
        asset_selection=sorted(set(jobs.values())),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a fold once more whose run was killed after Dagster had called its backfill over.",
    )
    def start_killed_folds_again(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        instance = context.instance
        # What failed before this was first asked is not its business.
        begun = float(context.cursor or time.time())
        if not instance.run_retries_enabled:
            return dg.SensorResult(skip_reason="Dagster's run_retries is off in dagster.yaml.", cursor=str(begun))
        requests, begun = _look(instance, jobs, begun)
        reason = None if requests else "No fold was killed that Dagster does not start again by itself."
        return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=str(begun))

    return start_killed_folds_again


def _look(
    instance: dg.DagsterInstance, jobs: Mapping[str, dg.AssetKey], begun: float
) -> tuple[list[dg.RunRequest], float]:
    """Returns what is to be started, and from when on the next look has to look: what is decided stays so."""
    now = time.time()
    since = max(datetime.fromtimestamp(begun, UTC), datetime.now(UTC) - OLDEST)
    killed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=since)
    records = instance.get_run_records(killed)
    of_folds = {record.storage_id: fold for record in records if (fold := _fold_of(record.dagster_run, jobs))}
    newest = _newest_runs(instance, [record for record in records if record.storage_id in of_folds], jobs)
    requests, undecided = [], []
    for record in records:
        fold = of_folds.get(record.storage_id)
        if fold is None or newest[fold] != record.storage_id:  # Dagster or a person started it since
            continue
        is_over = _is_over(instance, record.dagster_run)
        is_settled = time.time() - (record.end_time or time.time()) > SETTLED_SECONDS
        if is_over and is_settled:
            requests.append(_request(record.dagster_run, *fold))
        if is_over is not False:
            undecided.append(record.update_timestamp.timestamp())
    # Until it is decided about, a run is looked at again; so is what was decided a moment ago, since clocks are set.
    until = min(undecided) - 1 if undecided else now
    return requests, max(begun, until - MARGIN_SECONDS)


def _request(run: dg.DagsterRun, key: dg.AssetKey, fold: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"instead of {run.run_id}",
        asset_selection=[key],
        partition_key=fold,
        run_config=run.run_config,
        # Once, as Dagster's own retry.
        tags={INSTEAD_TAG: run.run_id, "dagster/max_retries": "0"},
    )


def _fold_of(run: dg.DagsterRun, jobs: Mapping[str, dg.AssetKey]) -> Fold | None:
    """Returns the asset and the partition that a run trains; None: it trains no fold, or several."""
    selected = set(run.asset_selection or ()) & set(jobs.values())
    key = jobs.get(run.job_name) or (next(iter(selected)) if len(selected) == 1 else None)
    fold = run.tags.get(PARTITION_TAG)
    return (key, fold) if key and fold else None


def _is_over(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool | None:
    """Says whether Dagster calls the run's backfill over; None: not yet. Of one that was canceled or is none: False."""
    backfill = instance.get_backfill(run.tags.get(BACKFILL_TAG, ""))
    if backfill is None:
        return False
    return backfill.status in _OVER or (False if backfill.status in BULK_ACTION_TERMINAL_STATUSES else None)


def _newest_runs(
    instance: dg.DagsterInstance, killed: Sequence[dg.RunRecord], jobs: Mapping[str, dg.AssetKey]
) -> Mapping[Fold, int]:
    """Returns the newest run of each fold of which one was killed, by one query for all of them."""
    folds = sorted({record.dagster_run.tags[PARTITION_TAG] for record in killed})
    if not folds:
        return {}
    oldest = min(record.create_timestamp for record in killed) - timedelta(seconds=1)
    newest: dict[Fold, int] = {}
    for record in instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: folds}, created_after=oldest)):
        if fold := _fold_of(record.dagster_run, jobs):
            newest[fold] = max(newest.get(fold, 0), record.storage_id)
    return newest
