"""Folds whose run was killed, and which Dagster does not start again since it calls their backfill over.

Dagster's own retry starts a killed run once more, unless the backfill that it belongs to has ended. That of `dagster
job backfill` has as soon as its runs are queued; that of a job in the web UI may have where the last of its runs is
killed. Each of them is started once, here; what a user canceled is not.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.execution.backfill import BulkActionStatus

from nnunet_assets.assets.fold.fold_backfill import BACKFILL_TAG, PARTITION_TAG, WILL_RETRY_TAG
from nnunet_assets.assets.fold.fold_model import INSTEAD_TAG

SETTLED_SECONDS = 20
"""Dagster's own retry looks every five seconds, and its word comes first."""

OLDEST = timedelta(days=2)
"""What was killed before that is not started by surprise."""

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
        requests = list(_requests(instance, jobs, begun))
        reason = None if requests else "No fold was killed that Dagster does not start again by itself."
        return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=str(begun))

    return start_killed_folds_again


def _requests(instance: dg.DagsterInstance, jobs: Mapping[str, dg.AssetKey], begun: float) -> Iterator[dg.RunRequest]:
    since = max(datetime.fromtimestamp(begun, UTC), datetime.now(UTC) - OLDEST)
    killed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=since)
    for record in instance.get_run_records(killed):
        run = record.dagster_run
        key, fold = _fold_of(run, jobs), run.tags.get(PARTITION_TAG)
        is_settled = time.time() - (record.end_time or time.time()) > SETTLED_SECONDS
        if (
            key
            and fold
            and is_settled
            and _is_lost(instance, run)
            and not _has_newer(instance, record, key, fold, jobs)
        ):
            yield dg.RunRequest(
                run_key=f"instead of {run.run_id}",
                asset_selection=[key],
                partition_key=fold,
                run_config=run.run_config,
                # Once, as Dagster's own retry.
                tags={INSTEAD_TAG: run.run_id, "dagster/max_retries": "0"},
            )


def _fold_of(run: dg.DagsterRun, jobs: Mapping[str, dg.AssetKey]) -> dg.AssetKey | None:
    selected = set(run.asset_selection or ()) & set(jobs.values())
    return jobs.get(run.job_name) or (next(iter(selected)) if len(selected) == 1 else None)


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    backfill = instance.get_backfill(run.tags.get(BACKFILL_TAG, ""))
    return backfill is not None and backfill.status in _OVER


def _has_newer(
    instance: dg.DagsterInstance,
    record: dg.RunRecord,
    key: dg.AssetKey,
    fold: str,
    jobs: Mapping[str, dg.AssetKey],
) -> bool:
    """Tells whether the fold was started since, by Dagster or by hand."""
    others = instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: fold}, created_after=record.create_timestamp))
    return any(
        other.dagster_run.run_id != record.dagster_run.run_id and _fold_of(other.dagster_run, jobs) == key
        for other in others
    )
