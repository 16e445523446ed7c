"""The MLflow run that shows an experiment's cross-validation, and the closing of runs whose process is gone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.tracking.assets.asset_run import add_files, bring_up_to_date
from nnunet_assets.tracking.fold.fold_run import Status
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import pages
from nnunet_assets.tracking.store.server_errors import explained

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
    """Brings the one summary run of an experiment up to date and returns its id; see `asset_run.bring_up_to_date`.

    Args:
        metrics: Series to value, such as `names.summary_series` returns; None: undefined.
        tags: Beside those that identify the experiment.

    Raises:
        TrackingError: MLflow does not answer or refuses something, or two metrics would share a name.
    """
    return bring_up_to_date(
        client,
        subject=f"The summary of {experiment.title}",
        known_by=(names.RUN_TYPE, names.EXPERIMENT),
        tags={**names.experiment_tags(experiment, "cv_summary"), **(tags or {})},
        run_name=_run_name(experiment),
        metrics=metrics,
        experiment_name=experiment_name,
        artifacts=artifacts,
        files=files,
        dagster_run_id=dagster_run_id,
    )


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
    with explained(client.tracking_uri):
        experiments = [found.experiment_id for found in pages(client.search_experiments)]
        # Asked by status, not by the many ids: few runs are open at a time, whatever the history.
        query = "attributes.status = 'RUNNING'"
        open_runs = pages(client.search_runs, experiment_ids=experiments, filter_string=query) if experiments else []
        dead = {run.info.run_id: run.data.tags.get(names.DAGSTER_RUN_ID) for run in open_runs}
        dead = {run_id: dagster_run_id for run_id, dagster_run_id in dead.items() if dagster_run_id in endings}
        for run_id, dagster_run_id in dead.items():
            client.set_terminated(run_id, endings[dagster_run_id])
    return len(dead)
