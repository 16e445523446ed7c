from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.environment import environment_without


@pytest.fixture(autouse=True)
def _clean_environment() -> Iterator[None]:
    """Neither the developer's own nnU-Net folders nor what MLflow sets for its process reach a test."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI", "DAGSTER_HOME")
    with environment_without(names):
        yield


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A new tracking store, made once: MLflow takes 2 s for it."""
    folder = tmp_path_factory.mktemp("store")
    connect(Destination(f"sqlite:///{folder}/mlflow.db", folder / "artifacts"))
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture
def project(tmp_path: Path, new_store: bytes) -> Path:
    """A project folder with a tracking store of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mlflow.db").write_bytes(new_store)
    return tmp_path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, which remembers for one test; with files a run takes seconds."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
