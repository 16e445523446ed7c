from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_assets_tests.environment import environment_without
from nnunet_assets_tests.tracking.servers import MlflowServer


@pytest.fixture(autouse=True)
def _bounded_mlflow() -> Iterator[None]:
    """MLflow's own defaults wait for minutes and report to the internet; what a test sets ends with the test."""
    with environment_without(["MLFLOW_TRACKING_URI"]):
        yield


@pytest.fixture
def uri(new_store: bytes, tmp_path: Path) -> str:
    (tmp_path / "mlflow.db").write_bytes(new_store)
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, new_store: bytes) -> Iterator[MlflowServer]:
    """A running server, started once since it takes several seconds; no test ends it."""
    folder = tmp_path_factory.mktemp("mlflow_server")
    (folder / "server.db").write_bytes(new_store)
    server = MlflowServer(folder)
    server.start()
    yield server
    server.kill()
