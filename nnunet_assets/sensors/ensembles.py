"""Ensembles follow their members: made when all of these are finished, and again when one of them changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from nnunet_assets.assets.ensemble.found_ensembles import found_ensembles_key
from nnunet_assets.assets.fold.partitions import ensemble_key
from nnunet_assets.assets.graph import comparison_keys, ensemble_keys
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment, dataset_key
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import first_offenders
from nnunet_assets.resources.project_folder import REFRESH_TAG
from nnunet_assets.sensors.refresh import ACTIVE


@dataclass(frozen=True)
class Follower:
    """What is made of several experiments, and follows them.

    Attributes:
        made: The asset that is made of their folds.
        keys: What a run makes, that asset first.
        n_folds: Its members, with how many folds are expected of each.
    """

    made: dg.AssetKey
    keys: tuple[dg.AssetKey, ...]
    n_folds: Mapping[Experiment, int]

    @property
    def name(self) -> str:
        """What the cursor knows it by."""
        return self.made.to_user_string()

    @property
    def tag(self) -> str:
        """One value that fits a run tag (63 characters, no slash)."""
        return f"ensembles-{json_sha256(self.made.path)[:16]}"


def followers(project: Project) -> list[Follower]:
    """Returns the declared ensembles, and the datasets that want those which nobody declares to be made by itself."""
    return [*_declared(project), *_found(project)]


def _declared(project: Project) -> Iterator[Follower]:
    n_folds = {config.identity: len(project.folds_of(config)) for config in project.experiments}
    for config in project.ensembles:
        yield Follower(
            ensemble_key(config.identity),
            (*ensemble_keys(config.identity), *comparison_keys(config.dataset)),
            {member: n_folds[member] for member in project.members[config.identity]},
        )


def _found(project: Project) -> Iterator[Follower]:
    for dataset in project.datasets:
        experiments, wanted = project.experiments_of(dataset.dataset), dataset.ensembles_to_find
        if wanted.automatic and wanted.max_members > 1 and len(experiments) > 1:
            key = found_ensembles_key(dataset.dataset)
            chosen = (dg.AssetKey(dataset_key(dataset.dataset, n)) for n in ("best_configuration", "dataset_report"))
            yield Follower(key, (key, *chosen), {one.identity: len(project.folds_of(one)) for one in experiments})


def build_ensemble_sensor(followed: Sequence[Follower]) -> dg.SensorDefinition:
    """Returns the sensor that makes ensembles when the summaries of all their members are complete, and other ones.

    A summary says which folds it is of, and is made by itself when one of them lands: a fold that trains again just now
    is not in it, and its ensemble waits. The cursor holds what the summaries were when an ensemble was asked for, so
    that summaries which are made again and say the same, every night for instance, ask for nothing.
    """
    members = {_summary_key(one) for follower in followed for one in follower.n_folds}

    @dg.sensor(
        name="refresh_ensembles",
        asset_selection=sorted({key for follower in followed for key in follower.keys}),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes an ensemble when all of its members are finished, and again when one of them changed.",
    )
    def refresh_ensembles(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor: dict[str, str] = json.loads(context.cursor or "{}")
        records = context.instance.get_asset_records([*members, *(one.made for one in followed)])
        latest = {one.asset_entry.asset_key: one.asset_entry.last_materialization_record for one in records}
        requests, waiting = [], []
        for follower in followed:
            summaries = [latest.get(_summary_key(one)) for one in follower.n_folds]
            if any(_n_finished(one) < n for one, n in zip(summaries, follower.n_folds.values(), strict=True)):
                waiting.append(follower.name)
                continue
            newest = max(one.storage_id for one in summaries if one)
            digest = json_sha256([_version(one) for one in summaries])
            if cursor.get(follower.name) == digest:
                continue
            made = latest.get(follower.made)
            if made is None or made.storage_id < newest:  # else somebody made it by hand since
                if _is_under_way(context.instance, follower):
                    continue  # the cursor stays: the next tick looks again
                requests.append(_request(follower, newest))
            cursor[follower.name] = digest
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))
        folds = f" Folds are missing of members of {first_offenders(waiting)}." if waiting else ""
        looked_at = f"No ensemble has a member that changed. Ensembles: {len(followed)}.{folds}"
        return dg.SensorResult(skip_reason=looked_at, cursor=json.dumps(cursor))

    return refresh_ensembles


def _request(follower: Follower, newest: int) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{follower.name}@{newest}", asset_selection=list(follower.keys), tags={REFRESH_TAG: follower.tag}
    )


def _summary_key(experiment: Experiment) -> dg.AssetKey:
    return dg.AssetKey([*experiment.key_prefix, "cv_summary"])


def _n_finished(summary: dg.EventLogRecord | None) -> int:
    materialized = summary.asset_materialization if summary else None
    found = materialized.metadata.get("folds_finished") if materialized else None
    return found.value or 0 if isinstance(found, dg.IntMetadataValue) else 0


def _version(summary: dg.EventLogRecord | None) -> str:
    materialized = summary.asset_materialization if summary else None
    return (materialized.tags or {}).get("dagster/data_version", "") if materialized else ""


def _is_under_way(instance: dg.DagsterInstance, follower: Follower) -> bool:
    active = dg.RunsFilter(tags={REFRESH_TAG: follower.tag}, statuses=ACTIVE)
    return instance.get_runs_count(active) > 0
