"""A package against the folds that it was made of; small weights, and no training."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment, comparison_folder
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.settings import Settings
from nnunet_assets_tests.package_builders import ABOUT, EXPERIMENT, model_of, write_checkpoint, write_model
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


def test_the_dice_of_what_was_chosen_is_held_against_the_choice_and_not_against_the_summary(
    whole: Settings, tmp_path: Path
) -> None:
    settings = Settings.from_environment(tmp_path / "project", {})
    shutil.copytree(whole.project, settings.project)
    model = model_of(write_model(settings.roots.results))

    def dice_of(mean: float) -> Finding:
        # With its postprocessing the chosen one is better than its summary, which is of 0.5.
        number = replace(ABOUT.numbers["dice"], mean=mean, interval=None)
        selection = {"chosen": "it + postprocessing", "expected": None}
        shutil.rmtree(tmp_path / "package", ignore_errors=True)
        write_package(
            model, replace(ABOUT, numbers={"dice": number}, selection=selection), tmp_path / "package", Silent()
        )
        (found,) = [one for one in said_of(settings, tmp_path / "package").findings if one.what == "dice"]
        return found

    assert dice_of(0.6).verdict == "unknown"
    choice = {"chosen": "it + postprocessing", "expected": None, "made_of": {"it": "0"}}
    candidates = [{"name": "it", "mean": 0.5}, {"name": "it + postprocessing", "mean": 0.6}]
    file = comparison_folder(settings.roots, EXPERIMENT.dataset) / "best_configuration.json"
    write_keeping_earlier(file, {**choice, "candidates": candidates})
    assert dice_of(0.6).verdict == "holds"
    wrong = dice_of(0.7)
    assert (wrong.verdict, "is it + postprocessing with 0.6" in wrong.sentence) == ("changed", True)
    write_keeping_earlier(file, {**choice, "chosen": "it", "candidates": candidates, "made_of": {"it": "1"}})
    earlier = dice_of(0.6)
    assert (earlier.verdict, "since then it was summarized anew" in earlier.sentence) == ("changed", True)


def test_the_dice_of_an_ensemble_is_held_against_its_summary(whole: Settings, tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path / "project", {})
    shutil.copytree(whole.project, settings.project)
    model = model_of(write_model(settings.roots.results))
    (member,) = model.members
    other = replace(member, experiment=replace(member.experiment, variant="other"))
    ensemble = Experiment.ensemble(EXPERIMENT.dataset, "both")
    both = replace(model, title=f"{ensemble.title}, 2 members of 2 folds", members=(member, other))
    write_package(both, ABOUT, tmp_path / "package", Silent())

    def verdict() -> str:
        return next(one.verdict for one in said_of(settings, tmp_path / "package").findings if one.what == "dice")

    assert verdict() == "unknown"
    summary = ensemble.summary_folder(settings.roots) / "cv_summary.json"
    for mean, expected in ((0.87, "holds"), (0.86, "changed")):
        write_json_atomically(summary, {"foreground": {"dice": {"pooled": {"mean": mean}}}})
        assert verdict() == expected


def test_its_dice_is_held_against_the_summary(whole: Settings, tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path / "project", {})
    shutil.copytree(whole.project, settings.project)
    model = model_of(write_model(settings.roots.results))
    for mean, verdict in ((0.5, "holds"), (0.6, "changed")):
        number = replace(ABOUT.numbers["dice"], mean=mean, interval=Interval(0.4, 0.7))
        folder = tmp_path / f"package {mean}"
        write_package(model, replace(ABOUT, numbers={"dice": number}), folder, Silent())
        (found,) = [one for one in said_of(settings, folder).findings if one.what == "dice"]
        assert (found.verdict, json.loads((folder / "model.json").read_text())["numbers"]["dice"]["mean"]) == (
            verdict,
            mean,
        )
