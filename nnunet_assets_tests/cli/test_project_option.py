"""Which project a command takes, and what it says where there is none."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import COMMANDS, main
from nnunet_assets.cli.project.init import init_project
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project


def command(name: str) -> click.Command:
    found = main.get_command(click.Context(main), name)
    assert found
    return found


IN_A_PROJECT = [name for name in COMMANDS if any(option.name == "project" for option in command(name).params)]
READ_ELSEWHERE_TOO = {"predict", "evaluate", "summarize", "list", "export", "adopt", "doctor"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project like one that `init` made."""
    root = write_project(tmp_path / "project", {"mine/defs.yaml": documents(DATASET, EXPERIMENT)})
    (root / "dg.toml").touch()
    (root / "data/nnUNet_raw/Dataset004_Hippocampus").mkdir(parents=True)
    return root


@pytest.mark.parametrize("name", sorted({*IN_A_PROJECT} - READ_ELSEWHERE_TOO))
def test_outside_a_project_that_is_said_before_anything_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, [name])

    assert result.exit_code == 1
    assert result.output == (
        f"{tmp_path} is not a project: it has no folder 'experiments', and no folder above it is one. Go into a "
        "project or name one with --project, or make one with `nnunet-assets init`.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(READ_ELSEWHERE_TOO - {"doctor"}))
def test_what_may_lie_elsewhere_is_read_with_a_word_on_it_first(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(main, [name])

    first = result.stderr.splitlines()[0]
    assert first.startswith(f"{tmp_path} is not a project (no folder 'experiments'): only what the command line ")


def test_data_that_the_three_variables_name_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))

    result = CliRunner().invoke(main, ["check", "Dataset004_A"])

    assert result.stderr.startswith(
        f"{tmp_path} is not a project (no folder 'experiments'): nnU-Net's folders are those of its three variables.\n"
    )
    assert f"{tmp_path}/nnUNet_raw, does not exist" in result.output


@pytest.mark.parametrize("below", ["", "experiments", "experiments/mine", "data/nnUNet_raw/Dataset004_A/imagesTr"])
def test_a_project_is_found_from_the_folders_in_it(below: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(project / below)

    result = CliRunner().invoke(main, ["check-config"])

    assert result.stdout.endswith(f"No errors in the declarations of {project}.\n"), result.output


def test_a_folder_above_that_only_happens_to_hold_experiments_is_no_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "dg.toml").unlink()
    monkeypatch.chdir(project / "experiments" / "mine")

    assert "is not a project" in CliRunner().invoke(main, ["check-config"]).output


def test_what_named_the_wrong_folder_is_said(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = CliRunner().invoke(main, ["sync", "--project", str(project / "none")])
    monkeypatch.setenv("NNUNET_ASSETS_PROJECT", str(project / "moved"))
    set_there = CliRunner().invoke(main, ["sync"])

    assert named.output.startswith(f"{project}/none (--project) is not there, so it is no project. It has no folder")
    assert set_there.output.startswith(f"{project}/moved (NNUNET_ASSETS_PROJECT) is not there, so it is no project.")


def test_the_help_needs_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in COMMANDS:
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_what_init_makes_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = init_project(tmp_path / "project")
    monkeypatch.chdir(root / "experiments" / "example")

    assert f"of {root}." in CliRunner().invoke(main, ["check-config"]).output
