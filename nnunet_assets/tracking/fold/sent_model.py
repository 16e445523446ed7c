"""A model that a script saved, as a folder among the artifacts of its run, and as a version of a registered model.

Beside the folder, in `NAME.registered`, stands under which name it is registered; no such file: under none.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient


def registered_as(folder: Path) -> Path:
    """Returns the file that says under which name a saved model is registered."""
    return folder.with_name(f"{folder.name}.registered")


def send_model(client: "MlflowClient", run_id: str, folder: Path, place: str) -> None:
    """Uploads the folder, and registers it where that is asked for; a second call makes no second version.

    Args:
        client: Of the server.
        run_id: Of the run.
        folder: The saved model.
        place: Where it comes to lie among the run's artifacts.

    Raises:
        Exception: Whatever MLflow raises.
    """
    client.log_artifacts(run_id, str(folder), place)
    try:
        name = registered_as(folder).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    source = f"{client.get_run(run_id).info.artifact_uri}/{place}"
    _make_model(client, name)
    known = client.search_model_versions(f"run_id = '{run_id}'")
    if not any((version.name, version.source) == (name, source) for version in known):
        client.create_model_version(name, source, run_id)


def _make_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
