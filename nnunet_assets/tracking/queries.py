"""What is in MLflow about an experiment."""

from typing import TYPE_CHECKING

from nnunet_assets.core.layout import Experiment
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking import names
from nnunet_assets.tracking.failures import explain

if TYPE_CHECKING:
    from mlflow import MlflowClient


def tracked_folds(client: "MlflowClient", experiment: Experiment, *, experiment_name: str) -> dict[str, str]:
    """Returns fold to the status of its newest run, such as `FINISHED`; empty where nothing was tracked.

    Args:
        experiment_name: The MLflow experiment.

    Raises:
        TrackingError: MLflow does not answer.
    """
    key = names.experiment_tags(experiment, "fold")[names.EXPERIMENT]
    query = f"tags.`{names.RUN_TYPE}` = 'fold' AND tags.`{names.EXPERIMENT}` = '{key}'"
    try:
        found = client.get_experiment_by_name(experiment_name)
        runs = client.search_runs([found.experiment_id], query, order_by=["start_time ASC"]) if found else []
    except Exception as error:
        raise TrackingError(explain(error, client.tracking_uri).sentence) from error
    return {run.data.tags[names.FOLD]: run.info.status for run in runs}
