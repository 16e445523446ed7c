import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.model.package_files import package_digest
from nnunet_assets.errors import ConfigError, PackageError, TrackingError
from nnunet_assets.tracking.registry import clearing
from nnunet_assets.tracking.registry import left_models as left_models_module
from nnunet_assets.tracking.registry.clearing import clear, to_be_cleared
from nnunet_assets.tracking.registry.download import download_version
from nnunet_assets.tracking.registry.left_models import free, left_models
from nnunet_assets.tracking.registry.registration import describe, register_package, set_alias
from nnunet_assets.tracking.registry.registry_lock import lock_of_package
from nnunet_assets.tracking.registry.versions import list_versions
from nnunet_assets.tracking.store import client as mlflow_client
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.registry_builders import MODEL, registration, run_in, write_package
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, MlflowServer, silent

pytestmark = MLFLOW_WARNINGS


class RegistryContract:
    """What holds of a registry wherever it is."""

    @pytest.fixture
    def destination(self) -> Destination:
        raise NotImplementedError

    def test_a_version_is_made_once_comes_back_as_it_was_and_is_cleared_with_its_files(
        self, destination: Destination, tmp_path: Path
    ) -> None:
        run_id, cache, name = run_in(destination), tmp_path / "cache", f"{MODEL} {tmp_path.parent.name}"
        first, second = (write_package(tmp_path / weights, weights) for weights in ("first", "second"))
        made = register_package(destination, registration(first, run_id, name))
        assert (made.version, made.aliases, made.run_id) == (1, ("challenger",), run_id)
        assert made.digest == package_digest(first)
        assert made.gate == {"rule": "passed"}
        # The same package is the same version, whoever registers it again.
        assert register_package(destination, registration(first, run_id, name)) == made
        set_alias(destination, name, "champion", 1)
        assert register_package(destination, registration(second, run_id, name)).aliases == ("challenger",)
        assert [(one.version, one.aliases) for one in list_versions(destination, name)] == [
            (2, ("challenger",)),
            (1, ("champion",)),
        ]
        for address, package in {"@champion": first, "/1": first, "/latest": second, "@challenger": second}.items():
            found = download_version(destination, f"models:/{name}{address}", cache)
            assert found.folder == cache / package_digest(package)
            kept = {file.relative_to(found.folder): file.read_bytes() for file in _files(found.folder)}
            assert kept == {file.relative_to(package): file.read_bytes() for file in _files(package)}
        with pytest.raises(TrackingError, match=r"has no version 3: it has 1, 2"):
            download_version(destination, f"models:/{name}/3", cache)
        with pytest.raises(TrackingError, match=r"is called 'other': its aliases are challenger, champion"):
            download_version(destination, f"models:/{name}@other", cache)

        third = register_package(destination, registration(write_package(tmp_path / "third", "third"), run_id, name))
        describe(destination, third, "Stays behind.", {"gate.rule": "failed: it is worse"})
        shown = list_versions(destination, name)[0]
        assert (shown.description, shown.gate) == ("Stays behind.", {"rule": "failed: it is worse"})
        (needless,) = to_be_cleared(list_versions(destination, name), destination)
        assert needless.version == 2
        assert left_models(destination) == []
        with pytest.MonkeyPatch.context() as patch:  # killed between the version and its files
            patch.setattr(clearing, "remove_model", _killed)
            with pytest.raises(KeyboardInterrupt):
                clear(destination, needless)
        (left,) = left_models(destination)
        assert (left.name, left.model_id, left.digest) == (name, needless.model_id, needless.digest)
        assert left.size_bytes == needless.size_bytes
        assert free(destination, left)
        assert left_models(destination) == []
        assert [one.version for one in list_versions(destination, name)] == [3, 1]
        client = connect(destination)
        assert [int(one.version) for one in client.search_model_versions(f"name = '{name}'")] == [3, 1]
        assert download_version(destination, f"models:/{name}/1", tmp_path / "fresh").version.version == 1
        stored = [file for file in _files(self.artifacts(destination)) if needless.model_id in file.parts]
        assert stored == []

    def artifacts(self, destination: Destination) -> Path:
        """Where the store keeps its files, on this disk."""
        raise NotImplementedError


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


class TestRegistryOfSqlite(RegistryContract):
    @pytest.fixture
    def destination(self, uri: str, tmp_path: Path) -> Destination:
        return Destination(uri, tmp_path / "artifacts")

    def artifacts(self, destination: Destination) -> Path:
        return destination.artifacts


class TestRegistryOfServer(RegistryContract):
    @pytest.fixture
    def destination(self, mlflow_server: MlflowServer, tmp_path: Path) -> Destination:
        self._served = mlflow_server.folder / "served"
        return Destination(mlflow_server.uri, tmp_path / "artifacts")

    def artifacts(self, destination: Destination) -> Path:
        return self._served


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.fixture
def destination(uri: str, tmp_path: Path) -> Destination:
    return Destination(uri, tmp_path / "artifacts")


def test_an_upload_that_fails_leaves_nothing_and_the_next_one_registers(
    destination: Destination, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    package, run_id = write_package(tmp_path / "package"), run_in(destination)

    def fails(_self: object, _model_id: str, local_dir: str) -> None:
        assert Path(local_dir, "artifacts", "package", "model.json").exists()
        raise OSError(28, "No space left on device", "mlartifacts")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_model_artifacts", fails)
        with pytest.raises(TrackingError, match=rf"^'{MODEL}' is not registered\. .*No space left"):
            register_package(destination, registration(package, run_id))
    client = connect(destination)
    experiment_id = client.get_run(run_id).info.experiment_id
    assert client.search_logged_models([experiment_id]) == []
    assert client.search_registered_models() == []
    # One that was killed while it uploaded leaves a model that is not ready.
    made = client.create_logged_model(
        experiment_id, MODEL, run_id, _tags_of(destination, package), model_type="nnU-Net"
    )
    found = register_package(destination, registration(package, run_id))
    assert found.version == 1
    assert found.model_id != made.model_id
    assert [model.model_id for model in client.search_logged_models([experiment_id])] == [found.model_id]


def _tags_of(destination: Destination, package: Path) -> dict[str, str]:
    from nnunet_assets.tracking.registry.registration import project_of

    return {"nnunet_assets.package": package_digest(package), "nnunet_assets.project": project_of(destination)}


def test_a_version_whose_files_were_changed_in_the_store_is_refused(destination: Destination, tmp_path: Path) -> None:
    package, run_id = write_package(tmp_path / "package"), run_in(destination)
    made = register_package(destination, registration(package, run_id))
    (stored,) = (file for file in _files(destination.artifacts) if file.name == "plans.json")
    stored.write_text('{"arch": "another"}')
    with pytest.raises(PackageError, match=r"changed since it was made: plans\.json"):
        download_version(destination, made.address, tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    stored.write_text("{}")
    found = download_version(destination, made.address, tmp_path / "cache")
    # In the cache a change is met by another download.
    (found.folder / "plans.json").write_text("changed")
    assert download_version(destination, made.address, tmp_path / "cache").folder == found.folder
    assert (found.folder / "plans.json").read_text() == "{}"


def test_a_version_that_somebody_else_registered_is_not_downloaded_and_not_cleared(
    destination: Destination, tmp_path: Path
) -> None:
    client, run_id = connect(destination), run_in(destination)
    client.create_registered_model("It's theirs")  # a name that MLflow's filters break at
    client.create_registered_model("Theirs")
    client.create_model_version("Theirs", str(tmp_path), run_id=run_id)
    assert list_versions(destination) == list_versions(destination, "It's theirs") == []
    with pytest.raises(TrackingError, match=r"models:/Theirs/1 at .* was not registered by nnunet_assets"):
        download_version(destination, "models:/Theirs/latest", tmp_path / "cache")


def test_a_version_whose_logged_model_is_gone_is_cleared(destination: Destination, tmp_path: Path) -> None:
    made = register_package(destination, registration(write_package(tmp_path / "package"), run_in(destination)))
    connect(destination).delete_logged_model(str(made.model_id))
    client = connect(destination)
    client.delete_registered_model_alias(made.name, "challenger")
    (needless,) = to_be_cleared(list_versions(destination), destination)
    clear(destination, needless)
    assert list_versions(destination) == []


def test_what_a_killed_upload_left_is_told_from_one_that_goes_on_and_from_what_others_have_made_of_it(
    destination: Destination, tmp_path: Path
) -> None:
    package, run_id = write_package(tmp_path / "package"), run_in(destination)
    client = connect(destination)
    experiment_id = client.get_run(run_id).info.experiment_id
    made = client.create_logged_model(experiment_id, MODEL, run_id, _tags_of(destination, package))
    client.create_logged_model(experiment_id, "theirs", run_id, {})
    (left,) = left_models(destination)
    assert (left.model_id, left.size_bytes) == (made.model_id, None)
    lock = kernel_lock(lock_of_package(destination, left.digest))
    with lock:  # as whoever registers it holds it
        assert left_models(destination) == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(left_models_module, "FEW_SECONDS", 0.1)
            with pytest.raises(TrackingError, match="Another process registers this package, or clears it, for"):
                free(destination, left)
    # Somebody registered it by hand, meanwhile and under a name of his own: his version would lose its files.
    client.create_registered_model("Theirs")
    client.create_model_version("Theirs", made.artifact_location)
    assert not free(destination, left)
    assert left_models(destination) == []
    assert client.get_logged_model(made.model_id).name == MODEL


def test_a_version_is_cleared_and_the_files_stay_that_somebody_elses_version_is_made_of(
    destination: Destination, tmp_path: Path
) -> None:
    found = register_package(destination, registration(write_package(tmp_path / "package"), run_in(destination)))
    client = connect(destination)
    client.create_registered_model("Theirs")
    client.create_model_version("Theirs", client.get_logged_model(str(found.model_id)).artifact_location)
    client.delete_registered_model_alias(MODEL, "challenger")
    clear(destination, found)
    assert list_versions(destination) == []
    assert any(found.model_id in file.parts for file in _files(destination.artifacts))


def test_what_cannot_be_registered_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    nowhere = Destination("http://127.0.0.1:9", tmp_path)
    package = write_package(tmp_path / "package")
    with pytest.raises(ConfigError, match="'a/b' cannot name a model"):
        register_package(nowhere, registration(package, "run", "a/b"))
    (package / "plans.json").unlink()
    with pytest.raises(PackageError, match=r"lacks what its model\.json names: plans\.json"):
        register_package(nowhere, registration(package, "run"))


def test_a_registry_that_is_down_or_silent_is_said_in_a_sentence(tmp_path: Path) -> None:
    package = write_package(tmp_path / "package")
    with pytest.raises(TrackingError, match="is not reachable"):
        register_package(Destination("http://127.0.0.1:9", tmp_path / "a"), registration(package, "run"))
    with silent() as uri, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(TrackingError, match="is not reachable"):
            list_versions(Destination(uri, tmp_path / "a"))


def test_writers_at_once_lose_no_version_and_the_alias_is_on_one_of_them(
    destination: Destination, tmp_path: Path
) -> None:
    run_id, problems = run_in(destination), list[Exception]()
    packages = [write_package(tmp_path / f"p{k}", f"weights {k}") for k in range(4)]

    def register(package: Path) -> None:
        try:
            register_package(destination, registration(package, run_id))
        except Exception as error:  # noqa: BLE001 (shown below)
            problems.append(error)

    threads = [threading.Thread(target=register, args=(package,)) for package in packages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    found = list_versions(destination, MODEL)
    assert [one.version for one in found] == [4, 3, 2, 1]
    assert {one.digest for one in found} == set(map(package_digest, packages))
    assert sorted(one.aliases for one in found) == [(), (), (), ("challenger",)]


def test_an_upload_alone_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    with mlflow_client.patient(3600):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "3600"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7200")  # the user's own, which is longer
    with mlflow_client.patient(3600):
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7200"


@pytest.mark.faults
def test_ten_processes_at_once_lose_no_version(destination: Destination, tmp_path: Path) -> None:
    run_id = run_in(destination)
    packages = [write_package(tmp_path / f"p{k}", f"weights {k}") for k in range(10)]
    code = (
        "import sys; from pathlib import Path; "
        "from nnunet_assets.tracking.store.destination import Destination; "
        "from nnunet_assets.tracking.registry.registration import register_package; "
        "from nnunet_assets_tests.registry_builders import registration; "
        "uri, artifacts, package, run_id = sys.argv[1:]; "
        "register_package(Destination(uri, Path(artifacts)), registration(Path(package), run_id))"
    )
    place = [destination.tracking_uri, str(destination.artifacts)]
    children = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, *place, str(package), run_id])
        for package in packages
    ]
    assert [child.wait() for child in children] == [0] * 10
    found = list_versions(destination, MODEL)
    assert [one.version for one in found] == list(range(10, 0, -1))
    assert {one.digest for one in found} == set(map(package_digest, packages))
    assert sum("challenger" in one.aliases for one in found) == 1
