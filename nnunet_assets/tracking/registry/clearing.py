"""Versions that no alias needs, taken out of the registry together with their files; of our own alone."""

from collections.abc import Sequence

from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.left_models import FEW_SECONDS, is_shown
from nnunet_assets.tracking.registry.model_files import find_model, remove_model
from nnunet_assets.tracking.registry.registration import project_of
from nnunet_assets.tracking.registry.registry_lock import package_alone, registry_lock
from nnunet_assets.tracking.registry.versions import RegisteredVersion, versions_in
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explained


def to_be_cleared(versions: Sequence[RegisteredVersion], destination: Destination) -> list[RegisteredVersion]:
    """Returns those that this project registered, without an alias, whose files no other version with one needs."""
    project = project_of(destination)
    needed = {version.model_id for version in versions if version.aliases}
    return [
        version
        for version in versions
        if not version.aliases
        and version.tags.get(registry_names.PROJECT) == project
        and (version.model_id is None or version.model_id not in needed)
    ]


def clear(destination: Destination, version: RegisteredVersion) -> None:
    """Deletes a version, its logged model and their files.

    The version goes first: one that is listed and has no files would be the worse half. What a kill leaves then is one
    of `left_models`.

    Raises:
        TrackingError: It has got an alias meanwhile, or is registered again just now, or the registry does not answer
            or refuses.
    """
    client = connect(destination)
    with (
        package_alone(destination, version.digest, FEW_SECONDS),
        registry_lock(destination),
        explained(client.tracking_uri, f"{version.address} is not cleared."),
    ):
        now = {one.version: one for one in versions_in(client, destination, version.name)}.get(version.version)
        if now is not None and now.aliases:
            raise TrackingError(f"{version.address} is called {now.aliases[0]} by now, and stays.")
        if now is not None:
            client.delete_model_version(version.name, str(version.version))
        # A tag of the version says which one it is, and anybody may write tags.
        model = find_model(client, version.model_id) if version.model_id is not None else None
        is_its_own = model is not None and model.tags.get(registry_names.PACKAGE) == version.digest
        # And anybody may make a version of his own of the same logged model.
        if model is not None and is_its_own and not is_shown(client, model.model_id):
            remove_model(client, destination, str(model.model_id))
