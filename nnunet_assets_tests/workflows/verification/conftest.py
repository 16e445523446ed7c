"""A project of which everything holds, made once; who changes it takes a copy."""

import shutil
from pathlib import Path

import pytest

from nnunet_assets.settings import Settings
from nnunet_assets_tests.made_once import made_once
from nnunet_assets_tests.verification_builders import export_all, finished_project, summarize


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two experiments with summaries, a comparison, evaluations and every export; nobody may change it."""
    with made_once(tmp_path_factory, "verified") as (folder, is_new):
        if is_new:
            settings = finished_project(folder / "project")
            summarize(settings)
            export_all(settings)
    return Settings.from_environment(folder / "project", {})


@pytest.fixture
def project(whole: Settings, tmp_path: Path) -> Settings:
    """A copy of it."""
    shutil.copytree(whole.project, tmp_path / "project")
    return Settings.from_environment(tmp_path / "project", {})
