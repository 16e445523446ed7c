"""A package becomes a version of a model: its files are uploaded, then the version is made; both once a package.

Half of it may be left by a process that was killed, or by a server that went away: a logged model without a version.
It is never shown as a version, and the next registration of the package takes it, or removes what is not whole.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.model.model_address import CHALLENGER, alias_problem, name_problem
from nnunet_assets.core.model.package_files import check_files, package_digest
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import ConfigError
from nnunet_assets.tracking.registry import registry_names
from nnunet_assets.tracking.registry.model_files import remove_model
from nnunet_assets.tracking.registry.model_folder import mlflow_folder
from nnunet_assets.tracking.registry.registry_lock import package_alone, persisted, registry_lock
from nnunet_assets.tracking.registry.versions import RegisteredVersion, versions_in
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment, pages, patient
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.pseudonyms import Pseudonyms
from nnunet_assets.tracking.store.server_errors import DATABASE_SCHEMES, explained, scheme

if TYPE_CHECKING:
    from mlflow import MlflowClient

UPLOAD_SECONDS = 3600
"""How long one file may take on its way to a server; MLflow's own limit is 120 s, and ours for everything else 5 s."""

_WAIT_SECONDS = 4 * 3600.0
"""How long to wait for another process that registers the same package: as long as an upload may take."""


@dataclass(frozen=True)
class Registration:
    """What is to be registered.

    Attributes:
        name: Of the model.
        package: Its folder.
        dataset: Whose MLflow experiment it is logged in.
        run_id: The run that it is of, in the same store.
        example: Synthetic image files, one a channel, for MLflow's input example.
        tags: Of the version, beside its digest and size.
        description: For people.
        trainers: As for `mlflow_folder`.
    """

    name: str
    package: Path
    dataset: str
    run_id: str
    example: Sequence[bytes]
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    trainers: Mapping[str, bytes] = field(default_factory=dict)


def register_package(destination: Destination, wanted: Registration) -> RegisteredVersion:
    """Returns the version of a package, which is made where there is none, and called `challenger`.

    Raises:
        ConfigError: A model cannot be called so.
        PackageError: The package is not whole.
        TrackingError: The registry does not answer or refuses something; nothing is half-made that would be shown.
    """
    if problem := name_problem(wanted.name):
        raise ConfigError(f"{problem}. Give `register` another name.")
    check_files(wanted.package)
    digest = package_digest(wanted.package)
    client = connect(destination)
    with (
        package_alone(destination, digest, _WAIT_SECONDS),
        explained(client.tracking_uri, f"{wanted.name!r} is not registered."),
    ):
        found = _version_of(client, destination, wanted.name, digest)
        if found is None:
            model_id = _uploaded(client, destination, wanted, digest)
            found = _made(client, destination, wanted, digest, model_id)
        # Before anybody may clear it, who looks for versions without an alias.
        set_alias(destination, found.name, CHALLENGER, found.version)
    return _again(client, destination, found)


def set_alias(destination: Destination, name: str, alias: str, version: int) -> None:
    """Gives a version an alias, which another one may have had.

    Raises:
        ConfigError: No version can be called so.
        TrackingError: The registry does not answer, or refuses it.
    """
    if problem := alias_problem(alias):
        raise ConfigError(f"{problem}.")
    client = connect(destination)
    with registry_lock(destination):
        persisted(
            lambda: client.set_registered_model_alias(name, alias, str(version)),
            lambda: _is_called(client, name, alias, version),
            client.tracking_uri,
        )


def move_alias(destination: Destination, name: str, alias: str, version: int, *, seen: int | None) -> int | None:
    """Gives a version an alias where that is still where it was seen; returns which version has it then.

    Another one than `version`: somebody else was faster, or wrote in the same moment, and it is left to him.

    Args:
        destination: Whose registry.
        name: Of the model.
        alias: Which the version is to have.
        version: Its number.
        seen: The version that had it when it was decided; None: none had.

    Raises:
        TrackingError: The registry does not answer, or refuses it.
    """
    client = connect(destination)

    def elsewhere() -> int | None:
        number = client.get_registered_model(name).aliases.get(alias)
        return None if number is None or int(number) == seen else int(number)

    with registry_lock(destination):
        return persisted(
            lambda: client.set_registered_model_alias(name, alias, str(version)), elsewhere, client.tracking_uri
        )


def describe(destination: Destination, version: RegisteredVersion, description: str, tags: Mapping[str, str]) -> None:
    """Writes the description and tags of a version, over those that it has.

    Raises:
        TrackingError: The registry does not answer, or refuses them.
    """
    client = connect(destination)
    with registry_lock(destination), explained(client.tracking_uri):
        for key, text in tags.items():
            shown = names.cut(redacted(text), names.MAX_TAG_LENGTH)
            client.set_model_version_tag(version.name, str(version.version), key, shown)
        client.update_model_version(version.name, str(version.version), description)


def project_of(destination: Destination) -> str:
    """Returns what stands for the project in the tags of what it registers."""
    return Pseudonyms(destination.artifacts, None).of("project", "registry")


def _uploaded(client: "MlflowClient", destination: Destination, wanted: Registration, digest: str) -> str:
    """Returns the id of the logged model that has the package's files, all of them."""
    from mlflow.entities import LoggedModelOutput

    experiment_id = get_or_create_experiment(client, destination.experiment_of(wanted.dataset), destination)
    tags = {
        registry_names.PACKAGE: digest,
        registry_names.PACKAGE_BYTES: str(_n_bytes(wanted.package)),
        registry_names.PROJECT: project_of(destination),
    }
    for model in pages(client.search_logged_models, experiment_ids=[experiment_id], filter_string=_of(digest)):
        if model.name == wanted.name and model.tags.get(registry_names.PROJECT) == tags[registry_names.PROJECT]:
            if model.status == "READY":
                return str(model.model_id)
            remove_model(client, destination, model.model_id)  # its process is gone: we hold its lock
    model = client.create_logged_model(experiment_id, wanted.name, wanted.run_id, tags, model_type="nnU-Net")
    try:
        with mlflow_folder(wanted.package, wanted.example, wanted.trainers) as folder, patient(UPLOAD_SECONDS):
            client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        with suppress(Exception):
            remove_model(client, destination, model.model_id)
        raise
    client.log_outputs(wanted.run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _made(
    client: "MlflowClient", destination: Destination, wanted: Registration, digest: str, model_id: str
) -> RegisteredVersion:
    tags = {key: names.cut(redacted(text), names.MAX_TAG_LENGTH) for key, text in wanted.tags.items()}
    own = {
        registry_names.PACKAGE: digest,
        registry_names.PACKAGE_BYTES: str(_n_bytes(wanted.package)),
        registry_names.MODEL_ID: model_id,
        registry_names.PROJECT: project_of(destination),
    }

    def write() -> None:
        _make_model(client, wanted.name)
        # The id always: a server refuses a version whose source is a logged model that it is not told of.
        client.create_model_version(
            wanted.name,
            _source(client, model_id),
            run_id=wanted.run_id,
            tags={**tags, **own},
            description=wanted.description,
            model_id=model_id,
        )

    with registry_lock(destination):
        return persisted(write, lambda: _version_of(client, destination, wanted.name, digest), destination.tracking_uri)


def _n_bytes(package: Path) -> int:
    return sum(file.stat().st_size for file in package.rglob("*") if file.is_file())


def _source(client: "MlflowClient", model_id: str) -> str:
    """Returns what a version is made of; a database would look `models:/ID` up in MLflow's global store."""
    if scheme(client.tracking_uri) in DATABASE_SCHEMES:
        return str(client.get_logged_model(model_id).artifact_location)
    return f"models:/{model_id}"


def _make_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _version_of(client: "MlflowClient", destination: Destination, name: str, digest: str) -> RegisteredVersion | None:
    return next((one for one in versions_in(client, destination, name) if one.digest == digest), None)


def _again(client: "MlflowClient", destination: Destination, version: RegisteredVersion) -> RegisteredVersion:
    with explained(client.tracking_uri):
        found = versions_in(client, destination, version.name)
        return next((one for one in found if one.version == version.version), version)


def _is_called(client: "MlflowClient", name: str, alias: str, version: int) -> bool | None:
    return int(client.get_registered_model(name).aliases.get(alias, 0)) == version or None


def _of(digest: str) -> str:
    return f"tags.`{registry_names.PACKAGE}` = '{digest}'"
