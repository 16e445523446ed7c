"""Projects that were moved or copied: what names the old place is corrected, and nothing else."""

import shutil
from pathlib import Path

import pytest
from dotenv import dotenv_values

from nnunet_assets.cli.project.init import init_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.moved_project import place_before, refuse_other_place, settle
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


@pytest.fixture(params=["old", "it's \\ old ü"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return init_project(tmp_path / request.param)


@pytest.fixture(params=["moved", "copied"])
def new(request: pytest.FixtureRequest, old: Path, tmp_path: Path) -> Path:
    """The project elsewhere, with a line of its user's in its `.env`."""
    with (old / ".env").open("a") as file:
        file.write("# of mine\nexport OWN='a # b'\n\nDAGSTER_HOME_TOO=x")
    place = tmp_path / "new place's"
    if request.param == "copied":
        shutil.copytree(old, place)
    else:
        old.rename(place)
    return place


def settings_of(project: Path) -> Settings:
    return project_settings(project)


def test_a_project_that_is_where_it_was_made_is_left_as_it_is(old: Path) -> None:
    before = (old / ".env").read_bytes(), (old / ".env").stat().st_mtime_ns
    assert settle(settings_of(old)) is None
    assert place_before(old) is None
    assert ((old / ".env").read_bytes(), (old / ".env").stat().st_mtime_ns) == before


def test_what_names_the_old_place_names_the_new_one_and_all_else_stays(old: Path, new: Path) -> None:
    assert place_before(new) == old
    text = (new / ".env").read_text()
    assert settle(settings_of(new)) == f"This project was moved or copied from {old}; .env names {new} now."
    values = dotenv_values(new / ".env")
    assert (values["NNUNET_ASSETS_PROJECT"], values["DAGSTER_HOME"]) == (str(new), str(new / ".dagster"))
    assert (values["OWN"], values["DAGSTER_HOME_TOO"]) == ("a # b", "x")
    changed = [line for line in (new / ".env").read_text().splitlines() if line not in text.splitlines()]
    assert [line.partition("=")[0] for line in changed] == ["DAGSTER_HOME", "NNUNET_ASSETS_PROJECT"]
    assert (new / ".env").stat().st_mode & 0o777 == 0o600
    assert settle(settings_of(new)) is None


def test_files_of_runs_are_found_at_the_new_place(old: Path, tmp_path: Path) -> None:
    there = Destination.of(settings_of(old))
    client = connect(there)
    home = get_or_create_experiment(client, "ecg", there)
    other = client.create_experiment("elsewhere", artifact_location="file:///some/where")
    run = client.create_run(home).info.run_id
    client.log_text(run, "kept", "notes.txt")
    new = tmp_path / "old but newer"  # which begins as the old one
    shutil.copytree(old, new)
    settle(settings_of(new))
    moved = connect(Destination.of(settings_of(new)))
    assert moved.get_experiment(home).artifact_location == (new / "data" / "mlartifacts").as_uri()
    assert moved.get_run(run).info.artifact_uri.startswith((new / "data" / "mlartifacts").as_uri() + "/")
    assert Path(moved.download_artifacts(run, "notes.txt")).read_text() == "kept"
    assert moved.get_experiment(other).artifact_location == "file:///some/where"
    assert client.get_experiment(home).artifact_location == (old / "data" / "mlartifacts").as_uri()


def test_a_home_of_dagster_s_that_is_another_one_s_is_refused(old: Path) -> None:
    env = old / ".env"
    env.write_text(env.read_text().replace(f"{old.name}/.dagster", "elsewhere/.dagster") + "DAGSTER_HOME=/else/where\n")
    with pytest.raises(
        ConfigError, match="sets DAGSTER_HOME to /else/where, and Dagster would keep this project's runs"
    ):
        settle(settings_of(old))


def test_a_project_without_those_lines_needs_none(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    assert settle(settings_of(tmp_path)) is None
    (tmp_path / ".env").write_text("OWN=1\n")
    assert settle(settings_of(tmp_path)) is None
    assert (tmp_path / ".env").read_text() == "OWN=1\n"


def test_dagster_does_not_load_the_original_for_a_copy(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(old, copied)
    for here in (old, tmp_path):
        monkeypatch.chdir(here)
        refuse_other_place(old)
    monkeypatch.chdir(copied)
    refuse_other_place(copied)
    with pytest.raises(
        ConfigError, match=r"copied was moved or copied from .* `nnunet-assets dev` and `up` correct that"
    ):
        refuse_other_place(old)
