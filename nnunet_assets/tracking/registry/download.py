"""A registered version as files on this disk: downloaded once, kept by its digest, and never run.

What a version would run is not looked at: of its files only the package comes here, and every one of them must be as
the package's own digests say. Who changed a file in the registry, or gave a version another one's, is refused.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned
from nnunet_assets.core.model.model_address import parse_address
from nnunet_assets.core.model.model_description import ModelDescription
from nnunet_assets.core.model.package_files import check_files
from nnunet_assets.errors import PackageError, TrackingError
from nnunet_assets.tracking.registry.model_folder import PACKAGE_PATH
from nnunet_assets.tracking.registry.registration import UPLOAD_SECONDS
from nnunet_assets.tracking.registry.registry_lock import held
from nnunet_assets.tracking.registry.versions import RegisteredVersion, find_version
from nnunet_assets.tracking.store.client import connect, patient
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.server_errors import explained

_WAIT_SECONDS = 3600.0


@dataclass(frozen=True)
class DownloadedPackage:
    """A version's package on this disk, every file of it checked.

    Attributes:
        folder: The package; only to be read.
        description: Its `model.json`.
        version: Which version it is.
    """

    folder: Path
    description: ModelDescription
    version: RegisteredVersion


def download_version(
    destination: Destination, address: str, cache: Path, starts: Callable[[RegisteredVersion], None] = lambda _: None
) -> DownloadedPackage:
    """Returns the package of a version; it is downloaded where the cache does not have it.

    Args:
        destination: Whose registry.
        address: `models:/NAME@champion`, `models:/NAME/2` or `models:/NAME/latest`.
        cache: The folder of all downloaded packages; each lies in one named after its digest.
        starts: Told of the version before a download, which may take minutes.

    Raises:
        ConfigError: It is no address.
        PackageError: The version's files are not those that it was registered with.
        TrackingError: There is no such version, or the registry does not answer.
    """
    version = find_version(destination, parse_address(address))
    if not version.digest.isalnum():
        raise PackageError(f"{version.address} has a digest that is none: {version.digest!r}. Register the model anew.")
    folder = cache / version.digest
    with held(cache / f".{version.digest}.lock", _WAIT_SECONDS, "downloads this package"):
        if folder.exists():
            try:
                return DownloadedPackage(folder, check_files(folder, version.digest), version)
            except PackageError:
                shutil.rmtree(folder)  # somebody changed it here; the registry has the right one
        remove_abandoned(cache)
        starts(version)
        with partial_folder(folder) as partial:
            _download(destination, version, partial)
            description = check_files(partial, version.digest)
    return DownloadedPackage(folder, description, version)


def _download(destination: Destination, version: RegisteredVersion, folder: Path) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client = connect(destination)
    with explained(client.tracking_uri, f"{version.address} cannot be downloaded."), patient(UPLOAD_SECONDS):
        location = client.get_model_version_download_uri(version.name, str(version.version))
        repository = get_artifact_repository(location, tracking_uri=destination.tracking_uri)
        with TemporaryDirectory(prefix=".download-", dir=folder) as name:
            found = Path(repository.download_artifacts(PACKAGE_PATH, dst_path=name))
            if not found.is_dir() or not any(found.iterdir()):
                raise TrackingError(
                    f"{version.address} has no files any more: somebody deleted its logged model. Register it anew, or "
                    "clear it with `nnunet-assets models --clear`."
                )
            for path in found.iterdir():
                path.rename(folder / path.name)
