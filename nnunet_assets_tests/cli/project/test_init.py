import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from dotenv import dotenv_values

from nnunet_assets.cli.main import main
from nnunet_assets.cli.project import init as init_module
from nnunet_assets.cli.project.init import init_project
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder import network_drives

FILES = {".dagster/dagster.yaml", ".env", ".gitignore", "dg.toml", "experiments/example/defs.yaml", "workspace.yaml"}


def contents(root: Path) -> dict[str, str]:
    return {name: (root / name).read_text() for name in FILES}


def test_makes_a_project_that_declares_an_example_and_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, ["init", "my study"])

    assert result.exit_code == 0, result.output
    root = tmp_path / "my study"
    assert all((root / name).is_file() for name in FILES)
    project = read_project(root)
    assert [dataset.phantom is not None for dataset in project.datasets] == [True]
    assert [experiment.configuration for experiment in project.experiments] == ["3d_fullres"]
    assert result.stdout.startswith(f"Made a project in {root}; folds that train at once: ")
    assert "  cd 'my study'\n" in result.stdout


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "back\\slash", "#1 $HOME"])
def test_dagster_reads_the_absolute_paths_of_the_env_file(tmp_path: Path, name: str) -> None:
    root = init_project(tmp_path / name)

    variables = dotenv_values(root / ".env")

    assert variables["DAGSTER_HOME"] == str(tmp_path / name / ".dagster")
    assert variables["NNUNET_ASSETS_PROJECT"] == str(tmp_path / name)
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.parametrize("name", ["a%20b", "what?"])
def test_a_folder_in_which_dagster_cannot_work_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / name)])

    assert result.exit_code == 1
    assert f"The project's folder {tmp_path / name} has " in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    root = init_project(tmp_path)
    before = contents(root)

    init_project(tmp_path)

    assert contents(root) == before


def test_an_interrupted_init_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(project: Path) -> Path:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(init_module, "ensure_instance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            init_project(tmp_path)
    (tmp_path / "workspace.yaml").unlink()

    init_project(tmp_path)

    assert all((tmp_path / name).is_file() for name in FILES)


@pytest.mark.parametrize(
    "name", ["experiments/mine/defs.yaml", "experiments/example/defs.yaml", "workspace.yaml", ".env"]
)
def test_a_project_or_a_file_in_the_way_is_never_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine\n")

    with pytest.raises(
        ConfigError, match=rf"holds a project already, or files in the way of one: .*{name}.*Nothing was"
    ):
        init_project(tmp_path)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine\n"


@pytest.mark.parametrize("name", [".env", "workspace.yaml"])
def test_a_pipe_or_a_folder_in_the_way_is_not_read(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ConfigError, match=rf"files in the way of one: {name}\. Nothing was written"):
        init_project(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=rf"files in the way of one: {name}\. Nothing was written"):
        init_project(tmp_path)


def test_a_gitignore_of_the_users_own_stays(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.tmp\n")

    init_project(tmp_path)

    assert (tmp_path / ".gitignore").read_text() == "*.tmp\n"


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match=r"The project cannot be written to .*file/project: Not a directory"):
        init_project(tmp_path / "file" / "project")


def test_a_project_on_a_network_drive_is_made_and_the_drive_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(f"1 1 0:1 / {tmp_path} rw - fuse.sshfs server rw\n")
    monkeypatch.setattr(network_drives, "MOUNTS", tmp_path / "mountinfo")
    made = CliRunner().invoke(main, ["init", str(tmp_path / "study")])
    assert made.exit_code == 0
    assert f"lie on a network drive (fuse.sshfs at {tmp_path})" in made.stderr
