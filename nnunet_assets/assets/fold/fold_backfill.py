"""Backfills of an experiment's folds in Dagster's instance: begun, found again, followed and canceled.

Whoever works as the daemon of the instance starts what a backfill asks for. It is one of assets: Dagster ends such a
one only when no run of it is left to be started again, and calls one of a job `COMPLETED` before (with `dagster job
backfill`: at once), after which it starts no killed run again.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.partitions.subset import DefaultPartitionsSubset
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.utils import make_new_backfill_id

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import FoldError

PARTITION_TAG, WILL_RETRY_TAG, BACKFILL_TAG = "dagster/partition", "dagster/will_retry", "dagster/backfill"
"""Dagster's own."""

State = Literal["requested", "queued", "running", "succeeded", "failed", "canceled"]

_STATES: dict[dg.DagsterRunStatus, State] = {
    dg.DagsterRunStatus.NOT_STARTED: "queued",
    dg.DagsterRunStatus.QUEUED: "queued",
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "canceled",
}
_ACTIVE = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


@dataclass(frozen=True)
class Ongoing:
    """What is at work on a fold already, or is asked to be.

    Attributes:
        since: When it was asked for, in seconds since 1970.
        backfill_id: Its backfill; None: a run that somebody started alone.
    """

    since: float
    backfill_id: str | None


@dataclass(frozen=True)
class FoldRun:
    """The newest run of a fold.

    Attributes:
        state: How far it is; `requested`: there is none yet.
        run_id: It; None: there is none yet.
        reason: Why it failed; empty: it did not.
        is_retried: Whether Dagster starts it once more by itself.
        ended: When it ended, in seconds since 1970; None: it did not.
        n_before: How many runs were there before it since the fold was asked for, all of which were killed.
    """

    state: State
    run_id: str | None = None
    reason: str = ""
    is_retried: bool = False
    ended: float | None = None
    n_before: int = 0


class FoldBackfills:
    """The backfills and runs of an experiment's folds in an instance.

    Args:
        instance: The project's.
        experiment: Whose folds.
        job_name: The job that trains them, which may be what somebody started them with.
    """

    def __init__(self, instance: dg.DagsterInstance, experiment: Experiment, job_name: str) -> None:
        self._instance, self._experiment, self._job_name = instance, experiment, job_name
        self._key = fold_model_key(experiment)

    def ongoing(self, folds: Sequence[str]) -> dict[str, Ongoing]:
        """Returns those of the folds that are at work already, whoever asked for them: command line or web UI."""
        found: dict[str, Ongoing] = {}
        for backfill in self._instance.get_backfills(BulkActionsFilter(statuses=_ACTIVE)):
            for fold in self._folds_of(backfill):
                found[fold] = Ongoing(backfill.backfill_timestamp, backfill.backfill_id)
        for record in self._instance.get_run_records(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES)):
            run = record.dagster_run
            if self._is_of_folds(run) and PARTITION_TAG in run.tags:
                asked = Ongoing(record.create_timestamp.timestamp(), run.tags.get(BACKFILL_TAG))
                found.setdefault(run.tags[PARTITION_TAG], asked)
        return {fold: found[fold] for fold in folds if fold in found}

    def begin(self, folds: Sequence[str], before: Sequence[dg.AssetKey], *, retrain: bool = False) -> Ongoing:
        """Asks for folds.

        Args:
            folds: Which.
            before: What is to be made before them.
            retrain: Train those anew that are finished.
        """
        # Every run of a backfill gets it, and Dagster takes of it what the run's assets have.
        config = {"ops": {self._key.to_python_identifier(): {"config": {"retrain": True}}}} if retrain else None
        asked = Ongoing(time.time(), make_new_backfill_id())
        backfill = PartitionBackfill.from_asset_graph_subset(
            backfill_id=str(asked.backfill_id),
            backfill_timestamp=asked.since,
            tags={},
            dynamic_partitions_store=self._instance,
            asset_graph_subset=AssetGraphSubset(  # type: ignore[call-arg]  # its defaults are none to mypy
                non_partitioned_asset_keys=set(before),
                partitions_subsets_by_asset_key={self._key: DefaultPartitionsSubset(set(folds))},
            ),
            title=None,
            description=f"nnunet-assets backfill: {', '.join(folds)} of {self._experiment.title}",
            run_config=config,
        )
        self._instance.add_backfill(backfill)
        return asked

    def cancel(self, backfill_id: str) -> list[str]:
        """Asks the daemon to end a backfill with all its runs; returns its folds, but for those that are finished."""
        backfill = self._backfill(backfill_id)
        if backfill.status == BulkActionStatus.REQUESTED:
            self._instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))
        asked = Ongoing(backfill.backfill_timestamp, backfill_id)
        return sorted(fold for fold in self._folds_of(backfill) if self.run_of(fold, asked).state != "succeeded")

    def is_over(self, backfill_id: str) -> bool:
        """Tells whether Dagster starts nothing more for a backfill."""
        return self._backfill(backfill_id).status in BULK_ACTION_TERMINAL_STATUSES

    def problem(self, backfill_id: str) -> str:
        """Returns why a backfill itself, not a run of it, failed; empty: it did not."""
        backfill = self._backfill(backfill_id)
        return backfill.error.message.strip() if backfill.error else ""

    def run_of(self, fold: str, asked: Ongoing) -> FoldRun:
        """Returns the newest run of a fold since it was asked for."""
        return self._newest(
            run for run in self._runs(asked, **{PARTITION_TAG: fold}) if self._is_of_folds(run.dagster_run)
        )

    def run_before(self, backfill_id: str, asked: Ongoing) -> FoldRun:
        """Returns the newest run of what is made before the folds of a backfill."""
        return self._newest(
            run for run in self._runs(asked, **{BACKFILL_TAG: backfill_id}) if PARTITION_TAG not in run.dagster_run.tags
        )

    def _runs(self, asked: Ongoing, **tags: str) -> Sequence[dg.RunRecord]:
        # A second earlier: two clocks may round differently.
        since = datetime.fromtimestamp(asked.since - 1, UTC)
        return self._instance.get_run_records(dg.RunsFilter(tags=tags, created_after=since))

    def _newest(self, records: Iterator[dg.RunRecord]) -> FoldRun:
        found = list(records)
        if not found:
            return FoldRun("requested")
        record, run = found[0], found[0].dagster_run
        state = _STATES.get(run.status, "running")
        reason = self._reason(run.run_id) if state == "failed" else ""
        is_retried = run.tags.get(WILL_RETRY_TAG) == "true"
        return FoldRun(state, run.run_id, reason, is_retried, record.end_time, len(found) - 1)

    def _reason(self, run_id: str) -> str:
        for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
            for record in self._instance.get_records_for_run(run_id, of_type=kind).records:
                event = record.event_log_entry.dagster_event
                if event and kind == dg.DagsterEventType.STEP_FAILURE:
                    failure = event.step_failure_data
                    if failure.user_failure_data and failure.user_failure_data.description:
                        return str(failure.user_failure_data.description)
                    return failure.error.message.strip() if failure.error else ""
                if event and event.message:
                    return event.message
        return ""

    def _backfill(self, backfill_id: str) -> PartitionBackfill:
        backfill = self._instance.get_backfill(backfill_id)
        if backfill is None:
            raise FoldError(f"Dagster's instance has no backfill {backfill_id} any more.")
        return backfill

    def _is_of_folds(self, run: dg.DagsterRun) -> bool:
        return self._key in (run.asset_selection or ()) or run.job_name == self._job_name

    def _folds_of(self, backfill: PartitionBackfill) -> set[str]:
        if backfill.asset_backfill_data is None:
            return set(backfill.partition_names or ()) if backfill.job_name == self._job_name else set()
        asked = backfill.asset_backfill_data.target_subset.partitions_subsets_by_asset_key.get(self._key)
        return set(asked.get_partition_keys()) if asked else set()
