"""Instances of Dagster: the databases of a new one are copies of those that Dagster made once, in half a second."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nnunet_assets.project_folder import opened_instance
from nnunet_assets.project_folder.dagster_home import DAGSTER_YAML
from nnunet_assets_tests.made_once import made_once

if TYPE_CHECKING:
    from dagster import DagsterInstance

open_home = opened_instance._opened
"""What opens an instance, and has Dagster make the databases that are not there."""


@pytest.fixture(scope="session", autouse=True)
def copied_instances(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Has this process copy them, where an instance has none yet."""

    def opened(home: Path) -> "DagsterInstance":
        if _is_without_databases(home):
            for path in _new_home(tmp_path_factory).iterdir():
                if path.is_dir():
                    shutil.copytree(path, home / path.name)
                else:
                    shutil.copy2(path, home)
        return open_home(home)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opened_instance, "_opened", opened)
        yield


@pytest.fixture
def instances_made_by_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has Dagster make them all the same, for those who test that."""
    monkeypatch.setattr(opened_instance, "_opened", open_home)


def _is_without_databases(home: Path) -> bool:
    """Tells whether a folder holds settings and nothing else, and these say that the databases will lie there."""
    settings = home / "dagster.yaml"
    if not settings.is_file() or [path.name for path in home.iterdir()] != [settings.name]:
        return False
    return "storage:" not in settings.read_text(errors="replace")


def _new_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the databases of an instance, and nothing else."""
    with made_once(tmp_path_factory, "new_instance") as (folder, is_new):
        if is_new:
            (folder / "dagster.yaml").write_text(DAGSTER_YAML)
            with open_home(folder) as instance:
                instance.get_runs(limit=1)
                instance.all_instigator_state()
                instance.event_log_storage.get_pool_limits()
            (folder / "dagster.yaml").unlink()
    return folder
