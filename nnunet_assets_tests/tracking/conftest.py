from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_assets_tests.environment import environment_without
from nnunet_assets_tests.tracking.folds import Tracked
from nnunet_assets_tests.tracking.servers import MlflowServer


@pytest.fixture(autouse=True)
def _bounded_mlflow() -> Iterator[None]:
    """MLflow's own defaults wait for minutes and report to the internet; what a test sets ends with the test."""
    with environment_without(["MLFLOW_TRACKING_URI"]):
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A new store, made once: MLflow takes 2 s for it."""
    folder = tmp_path_factory.mktemp("template")
    Tracked(f"sqlite:///{folder}/mlflow.db", folder)
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture
def uri(template: bytes, tmp_path: Path) -> str:
    (tmp_path / "mlflow.db").write_bytes(template)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A running server, started once since it takes several seconds; a test that kills it starts it again."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow_server"))
    server.start()
    yield server
    server.kill()
