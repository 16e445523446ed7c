"""The files of a logged model: taken away together with it, since MLflow forgets the one and keeps the other.

Measured with MLflow 3.17: `delete_logged_model` leaves the files, and the versions that point at it still load; after
`mlflow gc` they are listed as READY and do not.
"""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nnunet_assets.tracking.store.destination import Destination

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel


def find_model(client: "MlflowClient", model_id: str) -> "LoggedModel | None":
    """Returns a logged model; None: somebody deleted it.

    Raises:
        MlflowException: The server does not answer, or refuses.
    """
    from mlflow.exceptions import MlflowException

    try:
        return client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def remove_model(client: "MlflowClient", destination: Destination, model_id: str) -> None:
    """Removes a logged model and its files; one that is not there any more is no error.

    Raises:
        MlflowException: The server does not answer, or refuses.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if (model := find_model(client, model_id)) is None:
        return
    location = model.artifact_location
    # Whoever shows a location that is not the model's own would have anything else deleted.
    if f"/{model_id}" in location:
        get_artifact_repository(location, tracking_uri=destination.tracking_uri).delete_artifacts()
        _remove_empty_folders(location, model_id)
    client.delete_logged_model(model_id)


def _remove_empty_folders(location: str, model_id: str) -> None:
    """Removes what is left of the model's folder on a disk of this machine."""
    if urlsplit(location).scheme not in ("", "file"):
        return
    folder = Path(unquote(urlsplit(location).path))
    for empty in (folder, folder.parent):
        if model_id in empty.parts:
            with suppress(OSError):
                empty.rmdir()
