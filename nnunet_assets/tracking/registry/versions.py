"""What the registry has: the versions of models that this package registered, with their aliases and numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nnunet_assets.core.model.model_address import SCHEME, ModelAddress, name_problem
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import TrackingError
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.store.client import connect, pages
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explained, scheme

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a model.

    Attributes:
        name: Of the model.
        version: From 1.
        aliases: Sorted, such as `challenger`.
        digest: Of its package.
        size_bytes: Of its package; None: not said.
        tags: All of them.
        description: For people, in Markdown.
        created_ms: Since 1970-01-01 UTC.
        model_id: MLflow's logged model, which has the files; None: not said.
        run_id: The run that it is of; None: none.
        url: Its page; None where nothing serves it.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    digest: str
    size_bytes: int | None
    tags: Mapping[str, str]
    description: str
    created_ms: int
    model_id: str | None
    run_id: str | None
    url: str | None

    @property
    def address(self) -> str:
        """By which it is predicted with: `models:/NAME/2`."""
        return str(ModelAddress(self.name, version=self.version))

    @property
    def numbers(self) -> dict[str, str]:
        """Such as `dice`: `0.871 [0.852, 0.890] (50 cases)`."""
        start = f"{registry_names.NUMBER}."
        return {key.removeprefix(start): text for key, text in self.tags.items() if key.startswith(start)}

    @property
    def gate(self) -> dict[str, str]:
        """Rule to `passed`, or to why it did not."""
        start = f"{registry_names.GATE}."
        return {key.removeprefix(start): text for key, text in self.tags.items() if key.startswith(start)}


def list_versions(destination: Destination, name: str | None = None) -> list[RegisteredVersion]:
    """Returns the versions that this package registered, by name, the newest of each first.

    Args:
        destination: Whose registry.
        name: Of one model; None: of all.

    Raises:
        TrackingError: The registry does not answer.
    """
    client = connect(destination)
    with explained(client.tracking_uri):
        return list(versions_in(client, destination, name))


def versions_in(
    client: "MlflowClient", destination: Destination, name: str | None = None
) -> Iterator[RegisteredVersion]:
    """Yields what `list_versions` returns, of an open connection, whose errors are MLflow's."""
    if name and name_problem(name):
        return
    models = pages(client.search_registered_models, filter_string=_of(name) if name else None)
    # What we would not call a model is somebody else's; MLflow's filters break at a name with a quote in it.
    for model in sorted((one for one in models if not name_problem(one.name)), key=lambda one: str(one.name)):
        found = pages(client.search_model_versions, filter_string=_of(model.name))
        ours = (one for one in found if registry_names.is_ours(one))
        for version in sorted(ours, key=lambda one: -int(one.version)):
            yield _version(version, dict(model.aliases), destination)


def find_version(destination: Destination, address: ModelAddress) -> RegisteredVersion:
    """Returns the version that an address means.

    Raises:
        TrackingError: There is none, it was not registered by this package, or the registry does not answer.
    """
    client = connect(destination)
    with explained(client.tracking_uri):
        return _found(client, destination, address)


def _found(client: "MlflowClient", destination: Destination, address: ModelAddress) -> RegisteredVersion:
    from mlflow.exceptions import MlflowException

    place = redacted(destination.tracking_uri)
    try:
        aliases = {alias: int(number) for alias, number in client.get_registered_model(address.name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise TrackingError(
            f"No model {address.name!r} is registered at {place}. `nnunet-assets models` lists those that are."
        ) from error
    if address.alias is not None and address.alias not in aliases:
        has = f"its aliases are {', '.join(sorted(aliases))}" if aliases else "it has no alias"
        raise TrackingError(
            f"No version of {address.name!r} at {place} is called {address.alias!r}: {has}. Name a version by its "
            f"number, {SCHEME}{address.name}/1, or promote one."
        )
    versions = {int(one.version): one for one in pages(client.search_model_versions, filter_string=_of(address.name))}
    number = aliases[address.alias] if address.alias else address.version or max(versions, default=0)
    if number not in versions:
        has = f"it has {', '.join(map(str, sorted(versions)[-5:]))}" if versions else "it has none"
        raise TrackingError(f"{address.name!r} at {place} has no version {number or 'at all'}: {has}.")
    if not registry_names.is_ours(versions[number]):
        raise TrackingError(
            f"{SCHEME}{address.name}/{number} at {place} was not registered by nnunet_assets: its files have no digest "
            "to be checked by, and what it would run is not looked at. Load it with MLflow itself, if you trust it."
        )
    return _version(versions[number], {alias: str(of) for alias, of in aliases.items()}, destination)


def _of(name: str) -> str:
    return f"name = '{name}'"


def _version(version: Any, aliases: Mapping[str, Any], destination: Destination) -> RegisteredVersion:
    tags = {str(key): str(text) for key, text in version.tags.items()}
    size = tags.get(registry_names.PACKAGE_BYTES, "")
    return RegisteredVersion(
        name=version.name,
        version=int(version.version),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))),
        digest=tags[registry_names.PACKAGE],
        size_bytes=int(size) if size.isdecimal() else None,
        tags=tags,
        description=version.description or "",
        created_ms=int(version.creation_timestamp),
        model_id=tags.get(registry_names.MODEL_ID),
        run_id=version.run_id or None,
        url=version_url(destination, version.name, int(version.version)),
    )


def version_url(destination: Destination, name: str, version: int) -> str | None:
    """Returns the link to a version's page; None where the store is a database without a server."""
    place = destination.ui or destination.tracking_uri
    if scheme(place) not in ("http", "https"):
        return None
    runs = destination.run_url("0", "0") or ""
    return f"{runs.partition('/#/')[0]}/#/models/{quote(name)}/versions/{version}"
