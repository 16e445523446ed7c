"""The MLflow run that shows an experiment's cross-validation, and the closing of runs whose process is gone."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.layout import Experiment
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking import names
from nnunet_assets.tracking.batches import MAX_METRICS_PER_BATCH
from nnunet_assets.tracking.client import get_or_create_experiment, pages
from nnunet_assets.tracking.failures import explain
from nnunet_assets.tracking.fold_run import Status
from nnunet_assets.tracking.redaction import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log_summary(
    client: "MlflowClient",
    experiment: Experiment,
    metrics: Mapping[str, float | None],
    *,
    experiment_name: str,
    artifacts: Path,
    tags: Mapping[str, str] | None = None,
    files: Sequence[Path] = (),
    dagster_run_id: str | None = None,
) -> str:
    """Brings the one summary run of an experiment up to date and returns its id.

    The run is found by its tags, so that a repeated call makes no second one. A metric that is undefined now and was
    not before becomes NaN: MLflow cannot forget the old number, which would be read as today's.

    Args:
        metrics: Series to value, such as `names.summary_series` returns; None: undefined.
        experiment_name: The MLflow experiment.
        artifacts: As for `client.connect`.
        tags: Beside those that identify the experiment.
        files: Uploaded under their own names, in place of the earlier ones. Not for a server elsewhere, unless the
            user has agreed.
        dagster_run_id: The Dagster run that makes the summary; None where none does.

    Raises:
        TrackingError: MLflow does not answer or refuses something, or two metrics would share a name.
    """
    texts = {**names.experiment_tags(experiment, "cv_summary"), **(tags or {})}
    if dagster_run_id:
        texts[names.DAGSTER_RUN_ID] = dagster_run_id
    try:
        return bring_up_to_date(
            client,
            known_by=(names.RUN_TYPE, names.EXPERIMENT),
            tags=texts,
            run_name=_run_name(experiment),
            metrics=metrics,
            experiment_name=experiment_name,
            artifacts=artifacts,
            files=files,
        )
    except TrackingError:
        raise
    except Exception as error:
        raise TrackingError(
            f"The summary of {experiment.title} is not in MLflow. {explain(error, client.tracking_uri).sentence}"
        ) from error


def add_to_summary(
    client: "MlflowClient",
    experiment: Experiment,
    files: Sequence[Path],
    *,
    experiment_name: str,
    artifacts: Path,
    folder: str | None = None,
) -> str:
    """Uploads files to the summary run of an experiment, in place of earlier ones of their names, and returns its id.

    Args:
        files: Not for a server elsewhere, unless the user has agreed.
        experiment_name: The MLflow experiment.
        artifacts: As for `client.connect`.
        folder: Among the run's artifacts; None: beside the summary itself.
    """
    return add_files(
        client,
        files,
        known_by=(names.RUN_TYPE, names.EXPERIMENT),
        tags=names.experiment_tags(experiment, "cv_summary"),
        run_name=_run_name(experiment),
        experiment_name=experiment_name,
        artifacts=artifacts,
        folder=folder,
    )


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


def bring_up_to_date(
    client: "MlflowClient",
    *,
    known_by: Sequence[str],
    tags: Mapping[str, str],
    run_name: str,
    metrics: Mapping[str, float | None],
    experiment_name: str,
    artifacts: Path,
    files: Sequence[Path],
) -> str:
    """Makes a run show these metrics, tags and files, whatever it showed before, ends it and returns its id.

    Args:
        known_by: The tags, out of `tags`, by which the run is found; where there is none, it is made.

    Raises:
        TrackingError: Two metrics would share a name. MLflow's own errors are let through.
    """
    named = names.metric_names(metrics)
    experiment_id = get_or_create_experiment(client, experiment_name, artifacts)
    run_id = _find_or_make(client, experiment_id, {key: tags[key] for key in known_by}, tags, run_name)
    _log(client, run_id, tags, {named[series]: value for series, value in metrics.items()})
    for file in files:
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _run_name(experiment: Experiment) -> str:
    return f"{names.run_title(experiment)} cv"


def close_dead_runs(client: "MlflowClient", endings: Mapping[str, Status]) -> int:
    """Ends every MLflow run that one of these Dagster runs left RUNNING and returns how many there were.

    A run that a later Dagster run goes on with carries that one's id, and stays open.

    Args:
        endings: Id of a Dagster run to how it ended.

    Raises:
        TrackingError: MLflow does not answer.
    """
    try:
        experiments = [found.experiment_id for found in pages(client.search_experiments)]
        # Asked by status, not by the many ids: few runs are open at a time, whatever the history.
        query = "attributes.status = 'RUNNING'"
        open_runs = pages(client.search_runs, experiment_ids=experiments, filter_string=query) if experiments else []
        dead = {run.info.run_id: run.data.tags.get(names.DAGSTER_RUN_ID) for run in open_runs}
        dead = {run_id: dagster_run_id for run_id, dagster_run_id in dead.items() if dagster_run_id in endings}
        for run_id, dagster_run_id in dead.items():
            client.set_terminated(run_id, endings[dagster_run_id])
    except Exception as error:
        raise TrackingError(explain(error, client.tracking_uri).sentence) from error
    return len(dead)


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
