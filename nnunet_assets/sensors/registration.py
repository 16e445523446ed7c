"""A model is registered when the summary of its experiment becomes complete, where that is switched on."""

import json
from collections.abc import Mapping

import dagster as dg

from nnunet_assets.assets.model.registered_model import registered_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import first_offenders


def build_registration_sensor(n_folds: Mapping[Experiment, int]) -> dg.SensorDefinition:
    """Returns the sensor that registers an experiment once its summary has every fold; off until switched on.

    One run an event of a complete summary: its cursor holds the newest that was looked at, so that a version that the
    gate kept challenger is not tried again by itself. What did not change is not registered twice anyway.

    Args:
        n_folds: The experiments that declare `register`, with how many folds are expected.
    """
    summaries = {dg.AssetKey([*one.key_prefix, "cv_summary"]): one for one in n_folds}

    @dg.sensor(
        name="register_models",
        asset_selection=sorted(map(registered_key, n_folds)),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Registers a model when the summary of its experiment becomes complete.",
    )
    def register_models(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor: dict[str, int] = json.loads(context.cursor or "{}")
        requests, incomplete = [], []
        for record in context.instance.get_asset_records(list(summaries)):
            entry = record.asset_entry
            made, name = entry.last_materialization_record, entry.asset_key.to_user_string()
            if made is None or made.storage_id <= cursor.get(name, 0):
                continue
            experiment = summaries[entry.asset_key]
            cursor[name] = made.storage_id
            if _n_finished(made) < n_folds[experiment]:
                incomplete.append(experiment.title)
                continue
            key = registered_key(experiment)
            run_key = f"{key.to_user_string()}@{made.storage_id}"
            requests.append(dg.RunRequest(run_key=run_key, asset_selection=[key]))
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=json.dumps(cursor))
        waiting = f" Folds are missing of {first_offenders(incomplete)}." if incomplete else ""
        looked = f"No summary became complete. Experiments that are to be registered: {len(n_folds)}.{waiting}"
        return dg.SensorResult(skip_reason=looked, cursor=json.dumps(cursor))

    return register_models


def _n_finished(made: dg.EventLogRecord) -> int:
    materialization = made.asset_materialization
    found = materialization.metadata.get("folds_finished") if materialization else None
    return found.value or 0 if isinstance(found, dg.IntMetadataValue) else 0
