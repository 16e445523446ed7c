"""The one MLflow run of an asset that is no fold, such as a raw dataset or a summary: found by its tags, or made.

What it shows is brought up to date as a whole; files that are made later are added.
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.batches import MAX_METRICS_PER_BATCH
from nnunet_assets.tracking.store.client import get_or_create_experiment
from nnunet_assets.tracking.store.server_errors import explained

if TYPE_CHECKING:
    from mlflow import MlflowClient


def bring_up_to_date(
    client: "MlflowClient",
    *,
    subject: str,
    known_by: Sequence[str],
    tags: Mapping[str, str],
    run_name: str,
    metrics: Mapping[str, float | None],
    experiment_name: str,
    artifacts: Path,
    files: Sequence[Path],
    dagster_run_id: str | None,
) -> str:
    """Makes a run show these metrics, tags and files, whatever it showed before, ends it and returns its id.

    The run is found by its tags, so that a repeated call makes no second one. A metric that is undefined now and was
    not before becomes NaN: MLflow cannot forget the old number, which would be read as today's.

    Args:
        subject: What the run shows, as an error calls it, such as `The raw data of Dataset004_Hippocampus`.
        known_by: The tags, out of `tags`, by which the run is found; where there is none, it is made.
        metrics: Series to value; None: undefined.
        experiment_name: The MLflow experiment.
        artifacts: As for `client.connect`.
        files: Uploaded under their own names, in place of the earlier ones. Not for a server elsewhere, unless the
            user has agreed.
        dagster_run_id: The Dagster run that makes what is shown; None where none does.

    Raises:
        TrackingError: MLflow does not answer or refuses something, or two metrics would share a name.
    """
    texts = {**tags, names.DAGSTER_RUN_ID: dagster_run_id} if dagster_run_id else tags
    with explained(client.tracking_uri, f"{subject} is not in MLflow."):
        named = names.metric_names(metrics)
        experiment_id = get_or_create_experiment(client, experiment_name, artifacts)
        run_id = _find_or_make(client, experiment_id, {key: tags[key] for key in known_by}, texts, run_name)
        _log(client, run_id, texts, {named[series]: value for series, value in metrics.items()})
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id, "FINISHED")
    return run_id


def add_files(
    client: "MlflowClient",
    files: Sequence[Path],
    *,
    known_by: Sequence[str],
    tags: Mapping[str, str],
    run_name: str,
    experiment_name: str,
    artifacts: Path,
    folder: str | None = None,
) -> str:
    """Adds files to a run that `bring_up_to_date` made, ends it and returns its id; MLflow's errors are let through.

    Where that failed there is no run yet, and one is made.
    """
    experiment_id = get_or_create_experiment(client, experiment_name, artifacts)
    run_id = _find_or_make(client, experiment_id, {key: tags[key] for key in known_by}, tags, run_name)
    for file in files:
        client.log_artifact(run_id, str(file), folder)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _find_or_make(
    client: "MlflowClient", experiment_id: str, known_by: Mapping[str, str], tags: Mapping[str, str], run_name: str
) -> str:
    query = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in known_by.items())
    found = client.search_runs([experiment_id], query, order_by=["attributes.start_time ASC"], max_results=1)
    run = found[0] if found else client.create_run(experiment_id, tags=dict(tags), run_name=run_name)
    return str(run.info.run_id)


def _log(client: "MlflowClient", run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float | None]) -> None:
    from mlflow.entities import Metric, RunTag

    shown = client.get_run(run_id).data.metrics
    wanted = {name: math.nan if value is None else float(value) for name, value in metrics.items()}
    # What is not there is undefined already, and what is the same needs no second point.
    stale = {name: math.nan for name in shown if name not in wanted}
    new = {name: value for name, value in (wanted | stale).items() if not _same(shown.get(name, math.nan), value)}
    now = time.time_ns() // 1_000_000
    points = [Metric(name, value, now, 0) for name, value in new.items()]
    texts = [RunTag(key, names.cut(redacted(text), names.MAX_TAG_LENGTH)) for key, text in tags.items()]
    client.log_batch(run_id, tags=texts, synchronous=True)
    for start in range(0, len(points), MAX_METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=points[start : start + MAX_METRICS_PER_BATCH], synchronous=True)


def _same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))
