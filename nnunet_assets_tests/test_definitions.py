"""The code location as Dagster loads it; by its own commands in a process of its own, as on a user's machine."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import pytest

from nnunet_assets.cli.project.init import init_project
from nnunet_assets.declarations.project import read_project
from nnunet_assets.definitions import load_definitions, project_definitions
from nnunet_assets.errors import ConfigError
from nnunet_assets.resources.mlflow import MlflowResource, destination_in
from nnunet_assets.settings import Settings
from nnunet_assets_tests.dg_commands import run_dg
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

OF_THE_PROJECT = """
import dagster as dg
from nnunet_assets.resources.mlflow import MlflowResource

defs = dg.Definitions(resources={"mlflow": MlflowResource(mlflow_tracking_uri="https://project.example.org")})
"""


def environment_of(project: Path) -> dict[str, str]:
    """Returns the variables of a process in a project, without what the developer's own shell sets."""
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "MLFLOW_TRACKING_URI", "NNUNET_ASSETS_PROJECT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["DAGSTER_HOME"] = str(project / ".dagster")
    (project / ".dagster").mkdir(exist_ok=True)
    return environment


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a Python command in a project's folder."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=environment_of(project),
        capture_output=True,
        text=True,
        check=False,
    )


VALIDATE = """
import os, sys
sys.stderr = sys.stdout
from dagster._cli import cli
for folder in sys.argv[1:]:
    os.chdir(folder)
    os.environ["DAGSTER_HOME"] = os.path.join(folder, ".dagster")
    try:
        cli(["definitions", "validate", "-w", "workspace.yaml"])
    except SystemExit as end:
        print(f"\\0{end.code}\\0", end="", flush=True)
"""
"""`dagster definitions validate` in one folder after the other, in a process that imports Dagster once."""


class Validated(NamedTuple):
    """What Dagster's own check of a project said, and the code with which it ended."""

    printed: str
    code: str


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Validated]:
    """A new project, and one that is broken in three places."""
    folders = {name: init_project(tmp_path_factory.mktemp("validated") / name) for name in ("new", "broken")}
    wrong = EXPERIMENT.replace("2d", "../2d") + "  trainr: X\n"
    write_project(folders["broken"], {"mine/defs.yaml": documents(DATASET, wrong), "torn/defs.yaml": "type: [\n"})
    for folder in folders.values():
        environment_of(folder)
    done = run(folders["new"], "-c", VALIDATE, *map(str, folders.values()))
    new, code_of_new, broken, code_of_broken, _ = done.stdout.split("\0")
    return {"new": Validated(new, code_of_new), "broken": Validated(broken, code_of_broken)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return init_project(tmp_path / "project")


def names_in(project: Path) -> tuple[int, list[str], list[str]]:
    """Returns how many assets a project has, and the names of its sensors and schedules."""
    repository = load_definitions(project).get_repository_def()
    repository.load_all_definitions()
    sensors, schedules = repository.sensor_defs, repository.schedule_defs
    return (
        len(repository.asset_graph.get_all_asset_keys()),
        [one.name for one in sensors],
        [one.name for one in schedules],
    )


@pytest.mark.filterwarnings("ignore:Parameter `execution_type` of function `AssetsDefinition")  # of Dagster's own code
def test_a_new_project_has_assets_sensors_and_a_schedule(project: Path) -> None:
    n_assets, sensors, schedules = names_in(project)
    assert (n_assets, schedules) == (10, ["nightly_report"])
    assert sorted(sensors) == ["adopt_folds", "close_dead_runs", "refresh_cv_summaries", "start_killed_folds_again"]


def test_a_project_that_declares_nothing_loads(project: Path) -> None:
    (project / "experiments" / "example" / "defs.yaml").unlink()

    assert names_in(project) == (0, ["close_dead_runs"], [])


@pytest.mark.parametrize(
    ("pyproject", "sentence"),
    [
        (None, r"dg\.toml is not there, by which Dagster finds the declarations: copy the one that"),
        ("[tool.black]\nline-length = 100\n", r"dg\.toml is not there, by which Dagster finds the declarations"),
        ("[tool", r"pyproject\.toml cannot be read: .* Correct it\."),
    ],
)
def test_a_project_without_dagsters_settings_is_not_taken_for_the_one_above(
    pyproject: str | None, sentence: str, tmp_path: Path
) -> None:
    init_project(tmp_path / "above")
    root = tmp_path / "above" / "project"
    init_project(root)
    (root / "dg.toml").unlink()
    if pyproject is not None:
        (root / "pyproject.toml").write_text(pyproject)
    with pytest.raises(ConfigError, match=sentence):
        load_definitions(root)


def test_a_pyproject_serves_in_the_place_of_dg_toml(tmp_path: Path) -> None:
    root = init_project(tmp_path / "project")
    settings = (root / "dg.toml").read_text().replace("[project]", "[tool.dg.project]")
    (root / "dg.toml").unlink()
    (root / "pyproject.toml").write_text(settings.replace("directory_type", "tool.dg.directory_type"))
    assert load_definitions(root).assets


@pytest.mark.filterwarnings("ignore:Parameter `execution_type` of function `AssetsDefinition")  # of Dagster's own code
def test_datasets_without_an_experiment_load(tmp_path: Path) -> None:
    write_project(tmp_path, {"defs.yaml": DATASET})
    (tmp_path / "dg.toml").write_text(
        (Path(__file__).parents[1] / "nnunet_assets/cli/project/templates/dg.toml").read_text()
    )

    assert names_in(tmp_path)[0] == 3


def where_tracking_goes(project: Path, definitions: dg.Definitions) -> str:
    repository = definitions.get_repository_def()
    repository.load_all_definitions()
    return destination_in(repository, Settings.from_environment(project, {})).tracking_uri


def test_a_code_location_merges_an_mlflow_resource_of_its_own(project: Path) -> None:
    mine = dg.Definitions(resources={"mlflow": MlflowResource(mlflow_tracking_uri="https://merged.example.org")})
    merged = dg.Definitions.merge(project_definitions(project), mine)
    assert where_tracking_goes(project, merged) == "https://merged.example.org"


def test_an_mlflow_resource_among_the_projects_definitions_stands_in_for_the_default(project: Path) -> None:
    assert where_tracking_goes(project, load_definitions(project)) == f"sqlite:///{project}/data/mlflow.db"
    (project / "experiments" / "resources.py").write_text(OF_THE_PROJECT)
    assert where_tracking_goes(project, load_definitions(project)) == "https://project.example.org"


def test_a_new_project_is_valid_for_dagster(validated: Mapping[str, Validated]) -> None:
    printed, code = validated["new"]

    assert code == "0", printed
    assert "All code locations passed validation" in printed


def test_broken_declarations_are_named_with_file_and_line_all_at_once(validated: Mapping[str, Validated]) -> None:
    printed, code = validated["broken"]

    assert code == "1", printed
    assert "experiments/mine/defs.yaml:8" in printed
    assert "experiments/mine/defs.yaml:9" in printed
    assert "experiments/torn/defs.yaml:" in printed


def test_dg_scaffolds_an_experiment_and_checks_and_lists_the_project(project: Path) -> None:
    """Dagster's own commands, in a process of their own as a user runs them."""
    options = ["--dataset", "Dataset900_Phantom", "--configuration", "2d"]
    scaffold = ["scaffold", "defs", "nnunet_assets.components.CrossValidationExperiment", "second", *options]
    looks = (["check", "yaml"], ["check", "defs"], ["list", "defs", "--json"])
    _, checked, _, listed = run_dg(project, scaffold, *looks, environment=environment_of(project))

    assert "All component YAML validated successfully." in checked
    assert len(read_project(project).experiments) == 2
    assert "Dataset900_Phantom/short/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_model" in listed
    assert "Dataset900_Phantom/nnUNetTrainer__nnUNetPlans__2d/fold_model" in listed
