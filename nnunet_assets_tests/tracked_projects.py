"""Projects with a real tracking store of their own; one with a cross-validation in it. Fixtures of every test."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store import sqlite_store
from nnunet_assets.tracking.store.client import prepare_environment
from nnunet_assets_tests.cross_validation_builders import FOLDS, track_fold, write_fold
from nnunet_assets_tests.environment import OF_A_PROJECT, environment_without
from nnunet_assets_tests.made_once import made_once

DATASET = "Dataset004_Hippocampus"
EXPERIMENT = Experiment(DATASET, "3d_fullres")


make_store = sqlite_store._make
"""What makes a new store, for those who test that."""


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A new tracking store, made once: MLflow takes 2 s for it."""
    return _new_store(tmp_path_factory)


@pytest.fixture(scope="session", autouse=True)
def copied_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A store that a test has made in its process is a copy of that one."""

    def copy(database: Path) -> None:
        database.touch(mode=0o600)
        database.write_bytes(_new_store(tmp_path_factory))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_store, "_make", copy)
        yield


def _new_store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    with made_once(tmp_path_factory, "store") as (folder, is_new):
        if is_new:
            prepare_environment()
            make_store(folder / "mlflow.db")
    return (folder / "mlflow.db").read_bytes()


@pytest.fixture
def own_environment() -> Iterator[None]:
    """Without what the developer's shell sets of projects."""
    with environment_without(OF_A_PROJECT):
        yield


@pytest.fixture
def with_store(tmp_path: Path, new_store: bytes, own_environment: None) -> Settings:
    """A project in which nothing was tracked yet."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mlflow.db").write_bytes(new_store)
    return Settings.from_environment(tmp_path)


@pytest.fixture(scope="session")
def tracked_template(tmp_path_factory: pytest.TempPathFactory, new_store: bytes) -> Path:
    """A project with three finished folds, in MLflow too; made once, since tracking takes seconds."""
    with made_once(tmp_path_factory, "tracked") as (folder, is_new):
        if is_new:
            (folder / "data").mkdir()
            (folder / "data" / "mlflow.db").write_bytes(new_store)
            settings = Settings.from_environment(folder, {})
            for fold, cases in FOLDS.items():
                track_fold(settings, EXPERIMENT, write_fold(EXPERIMENT.model_folder(settings.roots), fold, cases))
    return folder


@pytest.fixture
def tracked(tmp_path: Path, tracked_template: Path, own_environment: None) -> Settings:
    """A copy of that project; MLflow's database holds absolute paths."""
    project = tmp_path / "project"
    shutil.copytree(tracked_template, project)
    with closing(sqlite3.connect(project / "data" / "mlflow.db")) as store, store:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            moved = (str(tracked_template), str(project))
            store.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", moved)
    return Settings.from_environment(project)
