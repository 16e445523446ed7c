"""`package`, as a user calls it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import nnunet_assets
from nnunet_assets.cli.main import main
from nnunet_assets.nnunet.packages.package_reading import open_package
from nnunet_assets.settings import Settings
from nnunet_assets_tests.package_builders import DATASET, EXPERIMENT, FOLDS, write_finished
from nnunet_assets_tests.project_builders import write_project

DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: {DATASET}, folds: 2}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {DATASET}, configuration: 2d, licence: CC-BY-4.0}}
"""
NAME = f"{DATASET}/{EXPERIMENT.name}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    write_project(project, {"one/defs.yaml": DECLARED})
    return project


def run(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["package", "--project", str(project), *arguments])


def test_folds_become_a_folder_and_python_makes_the_same(project: Path, tmp_path: Path) -> None:
    write_finished(Settings.from_environment(project, {}).roots, folds=FOLDS)

    result = run(project, NAME, "-o", str(tmp_path / "model"), "--intended-use", "Teaching.")

    assert result.exit_code == 0, result.output
    package = open_package(tmp_path / "model", frozenset())
    for text in (package.digest, "Licence: CC-BY-4.0", "Intended use: Teaching.", "Dice 0.500 of 2 cases"):
        assert text in result.stdout
    packaged = nnunet_assets.package(NAME, tmp_path / "again", intended_use="Teaching.", project=project)
    assert packaged.digest == package.digest

    result = run(project, NAME, "-o", str(tmp_path / "model.zip"), "--json")
    said = json.loads(result.stdout)
    assert (said["place"], said["may_overwrite"]) == (NAME, True)
    assert said["bytes"] == (tmp_path / "model.zip").stat().st_size
    assert said["description"]["intended_use"] is None


def test_what_is_not_finished_ends_with_1_and_writes_nothing(project: Path, tmp_path: Path) -> None:
    write_finished(Settings.from_environment(project, {}).roots, folds=FOLDS[:1])
    result = run(project, NAME, "-o", str(tmp_path / "model"))
    assert result.exit_code == 1
    assert "1 of 2 is not finished" in result.stderr
    assert not (tmp_path / "model").exists()
