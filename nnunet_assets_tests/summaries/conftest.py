"""Projects with a tracking store, as the assets' tests have them; one with a cross-validation in it."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.conftest import _clean_environment, instance
from nnunet_assets_tests.cross_validation_builders import FOLDS, track_fold, write_fold

__all__ = ["_clean_environment", "instance"]

DATASET = "Dataset004_Hippocampus"
EXPERIMENT = Experiment(DATASET, "3d_fullres")


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
def settings(project: Path) -> Settings:
    return Settings.from_environment(project)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, new_store: bytes) -> Path:
    """A project with three finished folds, in MLflow too; made once, since tracking takes seconds."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "data").mkdir()
    (folder / "data" / "mlflow.db").write_bytes(new_store)
    settings = Settings.from_environment(folder, {})
    for fold, cases in FOLDS.items():
        track_fold(settings, EXPERIMENT, write_fold(EXPERIMENT.model_folder(settings.roots), fold, cases))
    return folder


@pytest.fixture
def tracked(tmp_path: Path, template: Path) -> Settings:
    """A copy of that project; MLflow's database holds absolute paths."""
    project = tmp_path / "project"
    shutil.copytree(template, project)
    with closing(sqlite3.connect(project / "data" / "mlflow.db")) as store, store:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(template), str(project)))
    return Settings.from_environment(project)
