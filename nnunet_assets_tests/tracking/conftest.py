import os
from collections.abc import Iterator

import pytest

from nnunet_assets.tracking.client import prepare_environment
from nnunet_assets_tests.tracking.servers import MlflowServer


@pytest.fixture(autouse=True)
def _bounded_mlflow() -> Iterator[None]:
    """MLflow's own defaults wait for minutes and report to the internet; what a test sets ends with the test."""
    before = dict(os.environ)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    prepare_environment()
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """A running server, started once since it takes several seconds; a test that kills it starts it again."""
    server = MlflowServer(tmp_path_factory.mktemp("mlflow_server"))
    server.start()
    yield server
    server.kill()
