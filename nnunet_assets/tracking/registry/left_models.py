"""Logged models of this project that no version shows: what a kill left of a registration, or of a clearing.

They are not seen among the versions, and their files are as large as any. Whoever registers a package holds its lock
meanwhile, so that what is on its way to become a version is told from what nobody will ever ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.model_files import remove_model
from nnunet_assets.tracking.registry.registration import project_of
from nnunet_assets.tracking.registry.registry_lock import lock_of_package, package_alone, registry_lock
from nnunet_assets.tracking.store.client import connect, is_to_be_made, pages
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explained

if TYPE_CHECKING:
    from mlflow import MlflowClient

FEW_SECONDS = 5.0
"""How long to wait for a package that is registered meanwhile: who does holds it for as long as an upload takes."""

_EXPERIMENTS_AT_ONCE = 100


@dataclass(frozen=True)
class LeftModel:
    """A logged model without a version.

    Attributes:
        name: Under which it was to be registered, or was.
        model_id: MLflow's.
        digest: Of its package.
        size_bytes: Of its package; None: not said.
    """

    name: str
    model_id: str
    digest: str
    size_bytes: int | None


def left_models(destination: Destination) -> list[LeftModel]:
    """Returns those that this project left, but for what is registered just now; none without a store.

    Raises:
        TrackingError: The registry does not answer.
    """
    if is_to_be_made(destination.tracking_uri):
        return []
    client = connect(destination)
    with explained(client.tracking_uri, "Nobody knows what no version shows."):
        found = [_left(model) for model in _own_models(client, destination)]
        waiting = [one for one in found if not is_owned(lock_of_package(destination, one.digest))]
        versions = _sources(client) if waiting else []
    return [one for one in waiting if not any(one.model_id in source for source in versions)]


def free(destination: Destination, model: LeftModel) -> bool:
    """Removes a logged model with its files; says whether it did, or whether it has become a version meanwhile.

    Raises:
        TrackingError: It is being registered, or the registry does not answer or refuses.
    """
    client = connect(destination)
    with (
        package_alone(destination, model.digest, FEW_SECONDS),
        registry_lock(destination),
        explained(client.tracking_uri, f"The logged model {model.model_id} is not removed."),
    ):
        if is_shown(client, model.model_id):
            return False
        remove_model(client, destination, model.model_id)
    return True


def is_shown(client: "MlflowClient", model_id: str) -> bool:
    """Tells whether any version of anybody is made of a logged model."""
    return any(model_id in source for source in _sources(client))


def _own_models(client: "MlflowClient", destination: Destination) -> list[Any]:
    experiments = [one.experiment_id for one in pages(client.search_experiments)]
    own = f"tags.`{registry_names.PROJECT}` = '{project_of(destination)}'"
    found = []
    for start in range(0, len(experiments), _EXPERIMENTS_AT_ONCE):
        some = experiments[start : start + _EXPERIMENTS_AT_ONCE]
        found += list(pages(client.search_logged_models, experiment_ids=some, filter_string=own))
    return [model for model in found if registry_names.PACKAGE in model.tags]


def _sources(client: "MlflowClient") -> Sequence[str]:
    """Returns what every version is made of, as it is said of each: some say it by a path, some by an id alone."""
    return [
        " ".join(
            (
                str(version.source),
                str(getattr(version, "model_id", "")),
                version.tags.get(registry_names.MODEL_ID, ""),
            )
        )
        for version in pages(client.search_model_versions)
    ]


def _left(model: Any) -> LeftModel:
    size = model.tags.get(registry_names.PACKAGE_BYTES, "")
    digest = model.tags[registry_names.PACKAGE]
    return LeftModel(str(model.name), str(model.model_id), digest, int(size) if size.isdecimal() else None)
