"""Summaries follow the folds of their experiment; at night all are made again, where that is switched on.

A refresh ends with the comparison of the dataset's experiments and their report, in the same run. At night these are
not made again: a thousand summaries would make them a thousand times.
"""

import json
from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.graph import comparison_keys, predictions_key, summary_keys
from nnunet_assets.assets.summary.cv_summary import SEEN_METADATA
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import first_offenders
from nnunet_assets.resources.project_folder import REFRESH_TAG

ACTIVE = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def refresh_name(experiment: Experiment) -> str:
    """Returns one value per experiment that fits a run tag (63 characters, no slash)."""
    return f"{experiment.configuration}-{json_sha256(list(experiment.key_prefix))[:16]}"


def build_refresh_sensor(
    experiments: Sequence[Experiment], test_sets: Mapping[Experiment, Sequence[str]] | None = None
) -> dg.SensorDefinition:
    """Returns the sensor that makes a summary again, with its tables, when folds of its experiment materialized.

    One sensor for all experiments, so that a tick without news costs one query, whatever their number and history. The
    cursor holds the newest fold event that each experiment was refreshed for; folds that land together give one run,
    which sees them all. While a refresh of an experiment is under way its next one waits, and none is lost.

    Args:
        experiments: All that are declared.
        test_sets: The experiments that predict a test set, with their folds: the refresh that finds all of them
            predicts. None: there are none.
    """
    predicting = test_sets or {}
    by_fold_key = {fold_model_key(experiment): experiment for experiment in experiments}
    targets = {experiment: _refreshed_keys(experiment, experiments) for experiment in experiments}

    def wanted_keys(instance: dg.DagsterInstance, fold_key: dg.AssetKey) -> list[dg.AssetKey]:
        experiment = by_fold_key[fold_key]
        predicts = experiment in predicting and _has_every_fold(instance, fold_key, predicting[experiment])
        return [*targets[experiment], *([predictions_key(experiment)] if predicts else [])]

    @dg.sensor(
        name="refresh_cv_summaries",
        asset_selection=sorted(
            {key for keys in targets.values() for key in keys} | set(map(predictions_key, predicting))
        ),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes all that is made of an experiment's folds again when one of them materializes.",
    )
    def refresh_cv_summaries(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor: dict[str, int] = json.loads(context.cursor or "{}")
        newest = _newest_fold_events(context.instance, by_fold_key)
        due = {key: event for key, event in newest.items() if event > cursor.get(key.to_user_string(), 0)}
        wanted = {key: wanted_keys(context.instance, key) for key in due}
        made = _latest(context.instance, {made for keys in wanted.values() for made in keys})
        requests, held_back = [], []
        for key, event in due.items():
            experiment = by_fold_key[key]
            if not _is_refreshed(made, wanted[key], event):
                if _is_under_way(context.instance, experiment):
                    held_back.append(experiment.title)  # the cursor stays: the next tick looks again
                    continue
                run_key = f"{key.to_user_string()}@{event}"
                requests.append(_refresh(experiment, wanted[key], run_key=run_key))
            cursor[key.to_user_string()] = event
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))
        waiting = f"; a refresh is under way, and another follows: {first_offenders(held_back)}" if held_back else ""
        looked_at = f"No new fold to summarize. Experiments with finished folds: {len(newest)}{waiting}."
        return dg.SensorResult(skip_reason=looked_at, cursor=json.dumps(cursor))

    return refresh_cv_summaries


def _refreshed_keys(experiment: Experiment, experiments: Sequence[Experiment]) -> list[dg.AssetKey]:
    n_experiments = sum(other.dataset == experiment.dataset for other in experiments)
    return [*summary_keys(experiment), *(comparison_keys(experiment.dataset) if n_experiments > 1 else [])]


def _refresh(experiment: Experiment, keys: Sequence[dg.AssetKey], run_key: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=run_key, asset_selection=keys, tags={REFRESH_TAG: refresh_name(experiment)})


def _newest_fold_events(
    instance: dg.DagsterInstance, by_fold_key: Mapping[dg.AssetKey, Experiment]
) -> dict[dg.AssetKey, int]:
    return {key: event.storage_id for key, event in _latest(instance, by_fold_key).items()}


def _has_every_fold(instance: dg.DagsterInstance, fold_key: dg.AssetKey, folds: Sequence[str]) -> bool:
    materialized = instance.get_latest_storage_id_by_partition(fold_key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return set(folds) <= set(materialized)


def _latest(instance: dg.DagsterInstance, keys: Collection[dg.AssetKey]) -> dict[dg.AssetKey, dg.EventLogRecord]:
    """Returns the latest materialization of each asset that has one."""
    entries = [record.asset_entry for record in instance.get_asset_records(list(keys))] if keys else []
    return {entry.asset_key: found for entry in entries if (found := entry.last_materialization_record) is not None}


def _is_refreshed(made: Mapping[dg.AssetKey, dg.EventLogRecord], keys: Sequence[dg.AssetKey], event: int) -> bool:
    """Says whether all that is to be refreshed was made since, by hand: a summary that saw the fold, then the rest."""
    if any(key not in made for key in keys):
        return False
    summary, *others = (made[key] for key in keys)
    materialized = summary.asset_materialization
    seen = materialized.metadata.get(SEEN_METADATA) if materialized else None
    has_seen = isinstance(seen, dg.IntMetadataValue) and seen.value is not None and seen.value >= event
    return has_seen and all(other.storage_id > summary.storage_id for other in others)


def _is_under_way(instance: dg.DagsterInstance, experiment: Experiment) -> bool:
    active = dg.RunsFilter(tags={REFRESH_TAG: refresh_name(experiment)}, statuses=ACTIVE)
    return instance.get_runs_count(active) > 0


def build_nightly_report(experiments: Sequence[Experiment]) -> dg.ScheduleDefinition:
    """Returns the schedule that makes every summary and its tables again at night; off until switched on."""

    @dg.schedule(
        name="nightly_report",
        cron_schedule="0 3 * * *",
        target=dg.AssetSelection.assets(*(key for e in experiments for key in summary_keys(e))),
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Summarizes every experiment that has a finished fold, with its tables, at 3:00 UTC.",
    )
    def nightly_report(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        by_fold_key = {fold_model_key(experiment): experiment for experiment in experiments}
        started = _newest_fold_events(context.instance, by_fold_key)
        if not started:
            return dg.SkipReason("No experiment has a finished fold yet.")
        night = context.scheduled_execution_time.date().isoformat()
        return [
            _refresh(by_fold_key[key], summary_keys(by_fold_key[key]), run_key=f"{night}:{key.to_user_string()}")
            for key in started
        ]

    return nightly_report
