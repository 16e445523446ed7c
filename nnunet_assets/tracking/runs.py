"""Which MLflow run belongs to a training, however often it was asked for."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnunet_assets.tracking import names

if TYPE_CHECKING:
    from mlflow import MlflowClient


def run_of_attempt(
    client: "MlflowClient", experiment_id: str, tags: Mapping[str, str], start_ms: int, run_name: str
) -> str:
    """Returns the id of the run with these tags' attempt, which is made if it is not there.

    A reply that is lost makes MLflow's client ask for a new run twice; the empty twin is deleted.
    """
    query = f"tags.`{names.ATTEMPT}` = '{tags[names.ATTEMPT]}'"
    found = client.search_runs([experiment_id], query)
    if not found:
        client.create_run(experiment_id, start_ms, dict(tags), run_name=run_name)
        found = client.search_runs([experiment_id], query)
    run, *others = sorted(found, key=lambda one: (not one.data.metrics, one.info.run_id))
    for twin in others:
        if not twin.data.metrics:
            client.delete_run(twin.info.run_id)
    return str(run.info.run_id)


def is_active(client: "MlflowClient", run_id: str) -> bool:
    """Tells whether the run is there and not in MLflow's trash."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
