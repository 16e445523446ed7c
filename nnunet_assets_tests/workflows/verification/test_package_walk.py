"""A package against the folds that it was made of; small weights, and no training."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.progress import Silent
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.settings import Settings
from nnunet_assets_tests.package_builders import (
    ABOUT,
    DATASET_JSON,
    EXPERIMENT,
    model_of,
    write_checkpoint,
    write_model,
)
from nnunet_assets_tests.verification_builders import said_of, sentences


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a model, and its package."""
    project = tmp_path_factory.mktemp("packed")
    settings = Settings.from_environment(project, {})
    model = model_of(write_model(settings.roots.results))
    write_package(model, ABOUT, project / "package", Silent())
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Settings:
    shutil.copytree(made, tmp_path / "project")
    return Settings.from_environment(tmp_path / "project", {})


def fold(settings: Settings) -> Path:
    return EXPERIMENT.fold_folder(settings.roots, "fold_0")


def test_its_weights_are_those_of_the_folds(project: Settings) -> None:
    found = said_of(project, project.project / "package")
    assert found.what.startswith("the package of a model: ")
    assert sentences(found) == []
    assert [one.verdict for one in found.findings if one.level == "checkpoints"] == ["holds", "holds"]
    assert "no summary in this project" in " ".join(sentences(found, "unknown"))


def test_a_zip_is_the_same(project: Settings, tmp_path: Path) -> None:
    folder, file = project.project / "package", tmp_path / "model.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    assert [one.sentence for one in said_of(project, file).findings] == [
        one.sentence for one in said_of(project, folder).findings
    ]
    file.write_bytes(file.read_bytes()[:1000])
    assert said_of(project, file).verdict == "changed"


def test_a_fold_that_was_trained_again_has_other_weights(project: Settings) -> None:
    kept = fold(project).parent / "nnunet_assets" / "superseded" / "fold_0_20260101T000000"
    shutil.copytree(fold(project), kept)
    write_checkpoint(fold(project) / "checkpoint_final.pth", EXPERIMENT, 7.0)

    def weights() -> list[str]:
        return [one for one in sentences(said_of(project, project.project / "package")) if "weights" in one]

    assert "superseded" in weights()[0]
    shutil.rmtree(kept)
    assert "are not those of" in weights()[0]
    (fold(project) / "checkpoint_final.pth").write_bytes(b"no checkpoint")
    assert weights() == []


def test_a_changed_byte_is_found(project: Settings) -> None:
    plans = project.project / "package" / "plans.json"
    plans.write_text(plans.read_text().replace("400.5", "400.6"))
    assert "was changed since it was made" in sentences(said_of(project, project.project / "package"))[0]


def test_a_model_of_elsewhere_cannot_be_compared(project: Settings) -> None:
    shutil.rmtree(project.roots.results)
    found = said_of(project, project.project / "package")
    assert found.verdict == "unknown"
    assert any("is not in this project" in one for one in sentences(found, "unknown"))


def test_plans_and_labels_are_held_against_those_of_the_project(project: Settings) -> None:
    package, model = project.project / "package", EXPERIMENT.model_folder(project.roots)
    plans = json.loads((model / "plans.json").read_text())
    plans["configurations"]["2d"]["numbers_of_ones_own"] = [1, 3]
    (model / "plans.json").write_text(json.dumps(plans))
    assert sentences(said_of(project, package)) == ["Configurations.2d.numbers_of_ones_own[1] is 2.5, and should be 3."]
    write_json_atomically(model / "dataset.json", {**DATASET_JSON, "labels": {"background": 0, "organ": 1, "cyst": 2}})
    assert "Labels.cyst is missing; it should be 2." in sentences(said_of(project, package))
    (model / "dataset.json").unlink()
    assert any("dataset.json" in one for one in sentences(said_of(project, package), "unknown"))
