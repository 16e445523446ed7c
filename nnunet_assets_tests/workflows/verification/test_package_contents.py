"""What a package says of itself against a project of which everything holds; weights of a few bytes."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, comparison_folder
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.model.about_model import AboutModel
from nnunet_assets.core.model.usable_model import Member, UsableModel
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import PlanningError
from nnunet_assets.nnunet.packages.package_reading import ModelPackage, open_own_package
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.about import numbers_of
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.model.selected import about_choice, chosen_title
from nnunet_assets.workflows.model.usable import model_title
from nnunet_assets.workflows.verification import package_contents
from nnunet_assets.workflows.verification.known_results import known_results
from nnunet_assets.workflows.verification.package_contents import (
    commit_findings,
    description_findings,
    experiment_of,
    member_findings,
)
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.package_builders import model_of, write_model
from nnunet_assets_tests.raw_builders import tiny_json
from nnunet_assets_tests.verification_builders import DATASET, EXPERIMENT, FOLDS, LONG


@pytest.fixture(scope="module")
def packed(whole: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the project whose checkpoints have weights."""
    folder = tmp_path_factory.mktemp("packed") / "project"
    shutil.copytree(whole.project, folder)
    settings = Settings.from_environment(folder, {})
    for experiment in (EXPERIMENT, LONG):
        member_of(settings, experiment)
    return settings


def member_of(settings: Settings, experiment: Experiment, folds: Sequence[str] = FOLDS) -> Member:
    """Writes checkpoints with weights, plans and dataset.json into the folder of a model."""
    with TemporaryDirectory() as scratch:
        member = write_model(Path(scratch), experiment, folds, dataset_json=tiny_json(8))
        folder = experiment.model_folder(settings.roots)
        for name in (*folds, "plans.json", "dataset.json", "dataset_fingerprint.json"):
            source = member.folder / name
            if source.is_dir():
                shutil.copyfile(source / member.checkpoint, folder.joinpath(name, member.checkpoint))
            else:
                shutil.copyfile(source, folder / name)
    return replace(member, folder=folder)


def walk(settings: Settings) -> Walk:
    return Walk(settings.roots, frozenset(), Silent(), True)


def package(settings: Settings, model: UsableModel, about: AboutModel, folder: Path, **said: Any) -> ModelPackage:
    """Returns a package, of whose model.json something was edited."""
    write_package(model, about, folder, Silent())
    content = load_json(folder / "model.json")
    for place, value in said.items():
        *path, last = place.split("__")
        part = content
        for name in path:
            part = part[int(name) if name.isdigit() else name]
        part[last] = value
    write_json_atomically(folder / "model.json", content)
    return open_own_package(folder)


def summary_of(settings: Settings, experiment: Experiment = EXPERIMENT) -> ScoredSummary:
    return ScoredSummary.from_json(load_json(experiment.summary_folder(settings.roots) / "cv_summary.json"))


def single(settings: Settings, folder: Path, **said: Any) -> ModelPackage:
    member = member_of(settings, EXPERIMENT)
    model = replace(model_of(member), title=model_title(EXPERIMENT, FOLDS))
    return package(settings, model, AboutModel(numbers_of(summary_of(settings), "so"), n_cases=8), folder, **said)


def described(settings: Settings, found: ModelPackage) -> list[Finding]:
    return list(description_findings(walk(settings), found, list(known_results(settings.roots))))


def changed(findings: list[Finding]) -> list[str]:
    return [one.sentence for one in findings if one.verdict == "changed"]


def test_numbers_title_and_images_are_those_of_the_project(packed: Settings, tmp_path: Path) -> None:
    findings = described(packed, single(packed, tmp_path / "package"))
    assert {one.verdict for one in findings} == {"holds"}
    assert "Its Dice of 0.500 and 5 other numbers are those of the summary of" in findings[0].sentence


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        ({"numbers__dice__mean": 0.51}, "Numbers.dice.mean is 0.51, and should be 0.5."),
        ({"numbers__iou/organ__n_cases": 9}, "Numbers.iou/organ.n_cases is 9, and should be 8."),
        ({"title": f"{EXPERIMENT.title}, 3 folds"}, f"Title is '{EXPERIMENT.title}, 3 folds', and should be "),
        ({"images__spacing_low": [2.0, 0.5, 0.76]}, "Images.spacing_low[2] is 0.76, and should be 0.75."),
        ({"images__n_cases": 9}, "Images.n_cases is 9, and should be 8."),
        ({"images__channels__0__high": 0.5}, "Images.channels[0].high is 0.5, and should be 400.5."),
    ],
)
def test_whatever_is_edited_in_its_description_is_named(
    packed: Settings, tmp_path: Path, edit: Mapping[str, Any], sentence: str
) -> None:
    said = changed(described(packed, single(packed, tmp_path / "package", **edit)))
    assert any(sentence in one for one in said), said


def test_postprocessing_that_nobody_chose_is_named(packed: Settings, tmp_path: Path) -> None:
    member = member_of(packed, EXPERIMENT)
    model = replace(model_of(member, steps=[(1,)]), title=model_title(EXPERIMENT, FOLDS))
    found = package(packed, model, AboutModel(n_cases=8), tmp_path / "package")
    assert "It has the postprocessing [[1]], and was not chosen" in changed(described(packed, found))[0]


def test_a_model_of_every_case_has_the_numbers_of_the_folds(packed: Settings, tmp_path: Path) -> None:
    EXPERIMENT.fold_folder(packed.roots, FULL_FOLD).mkdir()
    member = member_of(packed, EXPERIMENT, [FULL_FOLD])
    model = replace(model_of(member), title=model_title(EXPERIMENT, [FULL_FOLD]))
    found = package(packed, model, AboutModel(numbers_of(summary_of(packed), "so"), n_cases=9), tmp_path / "package")
    assert changed(described(packed, found)) == []


def test_the_numbers_of_an_ensemble_are_held_against_its_own_summary(packed: Settings, tmp_path: Path) -> None:
    ensemble = Experiment.ensemble(DATASET, "both")
    members = [member_of(packed, one) for one in (EXPERIMENT, LONG)]
    model = replace(model_of(*sorted(members, key=lambda one: "/".join(one.experiment.key_prefix))))
    about = AboutModel(numbers_of(summary_of(packed), "so"), n_cases=8)
    titled = replace(model, title=model_title(ensemble, FOLDS, 2))
    found = package(packed, titled, about, tmp_path / "package")
    assert any("There is no summary in this project" in one.sentence for one in described(packed, found))
    content = load_json(EXPERIMENT.summary_folder(packed.roots) / "cv_summary.json")
    file = ensemble.summary_folder(packed.roots) / "cv_summary.json"
    write_json_atomically(file, {**content, "experiment": asdict(ensemble)})
    assert changed(described(packed, found)) == []
    other = package(
        packed, titled, about, tmp_path / "other", numbers__dice__mean=0.6, title=f"{ensemble.title}, 3 members"
    )
    assert len(changed(described(packed, other))) == 2
    shutil.rmtree(ensemble.model_folder(packed.roots))


def test_what_was_chosen_is_held_against_the_choice_and_not_against_the_summary(
    packed: Settings, tmp_path: Path
) -> None:
    best = find_best_configuration(packed, read_project(packed.project), DATASET, with_postprocessing=False)
    member = member_of(packed, LONG)
    model = replace(model_of(member), title=chosen_title(best))
    about = about_choice(best, FOLDS)
    found = package(packed, model, about, tmp_path / "package")
    assert any("There is no choice in this project" in one.sentence for one in described(packed, found))

    file = comparison_folder(packed.roots, DATASET) / "best_configuration.json"
    write_keeping_earlier(file, best.to_json())
    assert changed(described(packed, found)) == []
    edits: list[Mapping[str, Any]] = [
        {"numbers__dice__mean": 0.9},
        {"numbers__expected_dice": {"mean": 0.9, "interval": None, "n_cases": 8, "estimand": ""}},
        {"selection__candidates__1__dice": 0.9},
        {"selection__n_patients": 9},
        {"selection__optimism": 0.1},
        {"title": f"{DATASET} / another"},
    ]
    for number, edit in enumerate(edits):
        edited = package(packed, model, about, tmp_path / f"edited {number}", **edit)
        assert changed(described(packed, edited)), edit
    cleaned = package(packed, replace(model, postprocessing=((1,),)), about, tmp_path / "cleaned")
    assert any("Postprocessing" in one for one in changed(described(packed, cleaned)))

    made_of = dict.fromkeys(best.made_of, "0" * 64)
    write_keeping_earlier(file, {**best.to_json(), "made_of": made_of, "n_cases": 7})
    assert any("since then" in one and "summarized anew" in one for one in changed(described(packed, found)))
    shutil.rmtree(file.parent / "earlier")
    file.write_text(json.dumps({"chosen": "a", "expected": 1, "candidates": []}))
    assert any("There is no choice in this project" in one.sentence for one in described(packed, found))
    file.unlink()


def test_plans_and_labels_are_compared_as_a_package_has_them(packed: Settings, tmp_path: Path) -> None:
    found = single(packed, tmp_path / "package")
    (member,) = found.description.members
    assert experiment_of(member) == EXPERIMENT
    assert [one.verdict for one in member_findings(walk(packed), found, member)] == ["holds", "holds"]


def test_other_commits_than_it_was_made_of_are_named(whole: Settings, packed: Settings, tmp_path: Path) -> None:
    inputs = {"/".join(EXPERIMENT.key_prefix): {"fold_0/commit": "1" * 64, "fold_1/checkpoint_final.pth": "2" * 64}}
    found = single(packed, tmp_path / "package", inputs=inputs)
    there = [FinishedFold.read(EXPERIMENT.fold_folder(whole.roots, fold)) for fold in FOLDS]
    said = changed(list(commit_findings(found, found.description.members[0], [one for one in there if one])))
    assert len(said) == 2
    assert said[0].startswith("It was made of fold_0/commit 111111111111 of ")


def test_plans_that_are_others_or_gone_are_named(packed: Settings, tmp_path: Path) -> None:
    settings = Settings.from_environment(shutil.copytree(packed.project, tmp_path / "project"), {})
    found = single(settings, tmp_path / "package")
    (member,) = found.description.members
    folder = EXPERIMENT.model_folder(settings.roots)
    plans = load_json(folder / "plans.json")
    write_json_atomically(folder / "plans.json", {**plans, "plans_name": "others"})
    (folder / "dataset.json").unlink()
    first, second = member_findings(walk(settings), found, member)
    assert (first.verdict, first.sentence) == ("changed", "Plans_name is 'nnUNetPlans', and should be 'others'.")
    assert (second.verdict, "cannot be compared with that of the project" in second.sentence) == ("unknown", True)


def test_commits_and_checkpoints_that_it_was_made_of_say_nothing(
    whole: Settings, packed: Settings, tmp_path: Path
) -> None:
    there = [one for fold in FOLDS if (one := FinishedFold.read(EXPERIMENT.fold_folder(whole.roots, fold)))]
    name = "/".join(EXPERIMENT.key_prefix)
    same = {f"{one.folder.name}/commit": one.sha256 for one in there}
    same |= {f"{one.folder.name}/checkpoint_final.pth": one.manifest.files["checkpoint_final.pth"] for one in there}
    for number, inputs in enumerate(({name: same}, {}, {"another": {"fold_0/commit": "1" * 64}})):
        found = single(packed, tmp_path / str(number), inputs=inputs)
        assert list(commit_findings(found, found.description.members[0], there)) == []


def test_a_package_without_numbers_has_none_to_be_compared(packed: Settings, tmp_path: Path) -> None:
    findings = described(packed, single(packed, tmp_path / "package", numbers={}))
    assert {one.what for one in findings} == {"images"}
    one_number = {"iou": dataclass_to_json(numbers_of(summary_of(packed), "so")["iou"])}
    said = changed(described(packed, single(packed, tmp_path / "other", numbers=one_number)))
    assert "Numbers.dice is missing" in said[0]


def test_how_many_cases_it_was_trained_on_is_that_of_the_folds_and_what_only_trains(
    packed: Settings, tmp_path: Path
) -> None:
    settings = Settings.from_environment(shutil.copytree(packed.project, tmp_path / "project"), {})
    file = EXPERIMENT.summary_folder(settings.roots) / "cv_summary.json"
    write_json_atomically(file, {**load_json(file), "training_only": ["x", "y"]})
    found = single(settings, tmp_path / "package")
    assert changed(described(settings, found)) == ["Images.n_cases is 8, and should be 10."]
    file.write_text("{}")
    assert changed(described(settings, found)) == []


def test_images_that_nobody_can_say_any_more_are_unknown(
    packed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = single(packed, tmp_path / "package")
    for error in (PlanningError("No plans."), OSError("No disk.")):

        def fails(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(package_contents, "expected_images", fails)
        images = next(one for one in described(packed, found) if one.what == "images")
        said = f"On which images it was trained cannot be compared: {error}"
        assert (images.verdict, images.sentence) == ("unknown", said)


def test_results_of_others_are_not_those_of_a_package(packed: Settings, tmp_path: Path) -> None:
    found = single(packed, tmp_path / "package")
    known = list(known_results(packed.roots))
    others = [replace(one, experiment=LONG) for one in known if one.experiment == EXPERIMENT]
    alone = list(description_findings(walk(packed), found, others))
    assert any("There is no summary in this project" in one.sentence for one in alone)
    nobody = [replace(one, experiment=None) for one in known]
    assert any("There is no summary" in one.sentence for one in description_findings(walk(packed), found, nobody))
