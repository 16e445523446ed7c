from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets_tests.environment import OF_A_PROJECT, environment_without


@pytest.fixture(autouse=True)
def _clean_environment() -> Iterator[None]:
    """Neither the developer's own nnU-Net folders nor what MLflow sets for its process reach a test."""
    with environment_without(OF_A_PROJECT):
        yield


@pytest.fixture
def project(tmp_path: Path, stores_in_memory: None) -> Path:
    """A project folder, what is tracked from which stays in memory."""
    return tmp_path


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory, which remembers for one test; with files a run takes seconds."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance
