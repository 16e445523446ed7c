"""Which model a user means: an experiment, some of its folds, a package; and what is said where there is none."""

import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.dataset.dataset_json import parse_dataset_json
from nnunet_assets.errors import ConfigError, NnunetAssetsError, PackageError, PredictionError
from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.workflows.model import named_model
from nnunet_assets_tests.package_builders import ABOUT, model_of, write_checkpoint, write_model
from nnunet_assets_tests.predict_builders import DECLARED, NAME, PredictProject, write_predict_project
from nnunet_assets_tests.prediction_builders import EXPERIMENT
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import tiny_json, write_json


@pytest.fixture
def project(tmp_path: Path) -> PredictProject:
    return write_predict_project(tmp_path)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    write_package(model_of(write_model(tmp_path / "elsewhere"), steps=[(1,)]), ABOUT, tmp_path / "package")
    return tmp_path / "package"


def test_an_experiment_is_meant_by_its_name_and_by_its_folder(project: PredictProject) -> None:
    found = project.model()
    (member,) = found.usable.members
    assert (member.experiment, member.folds) == (EXPERIMENT, ("fold_0", "fold_1"))
    assert project.model(NAME.replace("/", " / ")) == found
    assert project.model(str(member.folder)) == found
    assert found.expected.n_cases == 6


def test_some_folds_and_another_checkpoint_are_another_model(project: PredictProject) -> None:
    whole, one = project.model(), project.model(folds=["1"])
    assert one.usable.members[0].folds == ("fold_1",)
    for checkpoint in project.checkpoints:
        write_checkpoint(checkpoint.with_name("checkpoint_best.pth"), EXPERIMENT, 0.5)
    best = project.model(checkpoint="checkpoint_best.pth")
    assert [path.name for path in best.usable.members[0].checkpoints] == ["checkpoint_best.pth"] * 2
    assert best.usable.title.endswith("2 folds, checkpoint_best.pth")
    assert len({whole.usable.digest, one.usable.digest, best.usable.digest}) == 3
    assert project.model(checkpoint="checkpoint_final.pth") == whole
    assert project.model(folds=["fold_0", "1"]) == whole


def test_a_declared_ensemble_is_meant_by_its_name(tmp_path: Path) -> None:
    other = replace(EXPERIMENT, trainer="nnUNetTrainer_100epochs")
    project = write_predict_project(tmp_path, other)
    members = f"members: [nnUNetTrainer__nnUNetPlans__2d, {other.name}]"
    declared = f"""{DECLARED}---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {{dataset: {EXPERIMENT.dataset}, configuration: 2d, trainer: {other.trainer}}}
---
type: nnunet_assets.components.Ensemble
attributes: {{dataset: {EXPERIMENT.dataset}, name: both, {members}}}
"""
    write_project(tmp_path, {"defs.yaml": declared})
    found = project.model(f"{EXPERIMENT.dataset}/ensembles/both", folds=["1"])
    assert [(one.experiment, one.folds) for one in found.usable.members] == [
        (other, ("fold_1",)),
        (EXPERIMENT, ("fold_1",)),
    ], "in the order of their names"
    with pytest.raises(PredictionError, match=r"Did you mean Dataset001_Tiny/ensembles/both\?"):
        project.model(f"{EXPERIMENT.dataset}/ensembles/bot")


def test_a_checkpoint_that_nobody_looked_into_is_refused_if_it_holds_code(project: PredictProject) -> None:
    for checkpoint in project.checkpoints:
        checkpoint.with_name("checkpoint_best.pth").write_bytes(pickle.dumps(Path("scan")))
    with pytest.raises(
        PredictionError, match=r"checkpoint_best\.pth cannot be read as the weights .* Nothing in it was"
    ):
        project.model(checkpoint="checkpoint_best.pth")
    with pytest.raises(ConfigError, match=r"-chk '\.\./checkpoint_final\.pth' is no file name"):
        project.model(checkpoint="../checkpoint_final.pth")


def test_a_package_is_meant_by_its_folder_and_by_a_zip_of_it(project: PredictProject, package: Path) -> None:
    found = project.model(str(package))
    assert found.usable.postprocessing == ((1,),)
    assert found.expected.channels[0].low == -900
    zipped = shutil.make_archive(str(package), "zip", package)
    within = shutil.make_archive(str(package.with_name("whole")), "zip", package.parent, "package")
    for archive in (zipped, within, zipped):
        assert project.model(archive).usable.digest == found.usable.digest
    folders = [path for path in (project.settings.data / "packages").iterdir() if path.is_dir()]
    assert len(folders) == 1, "both are the same package"


def _of_plain_nnunet(project: PredictProject) -> str:
    folder = project.settings.project / "foreign" / "nnUNetTrainer__nnUNetPlans__2d"
    write_json(folder / "dataset.json", {})
    (folder / "fold_0").mkdir()
    return str(folder)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Dataset001_Tiny/nnUNetTrainer__nnUNetPlan__2d", {}, f"is no model: .* Did you mean {NAME}\\?"),
        (NAME, {"folds": ["0", "7"]}, r"1 of 2 is not finished, or changed since: fold_7"),
        (NAME, {"folds": ["0", "all"]}, "does not predict with the folds fold_0, fold_all"),
        (NAME, {"folds": ["x"]}, "-f 'x' is no fold"),
        (NAME, {"checkpoint": "checkpoint_best.pth"}, "has no checkpoint_best.pth in fold_0, fold_1"),
        (_of_plain_nnunet, {}, "no experiment of the project .* `nnunet-assets adopt`"),
        ("models:Liver", {}, "is no address of a registered model"),
        ("models:/Liver@champion", {"folds": ["0"]}, "is a package, .* Leave -f and -chk out"),
    ],
)
def test_what_is_no_model_is_said_with_what_there_is(
    project: PredictProject, name: str | Callable[[PredictProject], str], options: dict[str, Any], said: str
) -> None:
    with pytest.raises(NnunetAssetsError, match=said):
        project.model(name if isinstance(name, str) else name(project), **options)


def test_a_package_that_was_changed_is_refused(project: PredictProject, package: Path) -> None:
    (package / "plans.json").write_text("{}")
    with pytest.raises(NnunetAssetsError, match=re.escape("was changed since it was made")):
        project.model(str(package))


@pytest.mark.parametrize("fold", ["-1", "1.5", "", "fold_x", "fold_", "fold_-1", "all2"])
def test_a_fold_is_a_number_or_all_or_the_key_of_one(project: PredictProject, fold: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"-f {fold!r} is no fold. Folds are 0, 1, ... or all.")):
        project.model(folds=[fold])


@pytest.mark.parametrize("folds", [["1"], ["fold_1"]])
def test_a_fold_may_be_named_as_nnunet_or_as_its_folder_does(project: PredictProject, folds: list[str]) -> None:
    assert project.model(folds=folds).usable.members[0].folds == ("fold_1",)


def test_the_checkpoint_that_is_asked_for_lies_in_every_fold(project: PredictProject) -> None:
    first, _ = project.checkpoints
    write_checkpoint(first.with_name("checkpoint_best.pth"), EXPERIMENT, 0.5)
    with pytest.raises(PredictionError) as error:
        project.model(checkpoint="checkpoint_best.pth")
    assert "has no checkpoint_best.pth in fold_1; fold_0 has checkpoint_best.pth, checkpoint_final.pth." in str(
        error.value
    )
    for checkpoint in project.checkpoints:
        checkpoint.with_name("checkpoint_best.pth").unlink(missing_ok=True)
    with pytest.raises(PredictionError, match=r"in fold_0, fold_1; fold_0 has checkpoint_final\.pth\."):
        project.model(checkpoint="checkpoint_best.pth")


def test_a_package_has_no_folds_and_no_checkpoints_to_choose_from(project: PredictProject, package: Path) -> None:
    for options in ({"folds": ["0"]}, {"checkpoint": "checkpoint_best.pth"}):
        with pytest.raises(ConfigError, match=f"{re.escape(str(package))} is a package, .* Leave -f and -chk out"):
            project.model(str(package), **options)
        with pytest.raises(ConfigError, match="Leave -f and -chk out"):
            project.model("models:/Liver/2", **options)


def test_only_a_folder_with_folds_and_labels_is_taken_for_nnunets_own(project: PredictProject) -> None:
    folder = Path(_of_plain_nnunet(project))
    with pytest.raises(PredictionError, match="is nnU-Net's folder of a model"):
        project.model(str(folder))
    (folder / "fold_0").rmdir()
    with pytest.raises(NnunetAssetsError, match=r"^(?!.*nnU-Net's folder of a model)"):
        project.model(str(folder))
    (folder / "fold_0").mkdir()
    (folder / "dataset.json").unlink()
    with pytest.raises(NnunetAssetsError, match=r"^(?!.*nnU-Net's folder of a model)"):
        project.model(str(folder))


@pytest.mark.parametrize("what", ["channel_names", "labels", "file_ending", "regions_class_order"])
def test_members_that_read_or_predict_something_else_are_refused(tmp_path: Path, what: str) -> None:
    members = [replace(write_model(tmp_path / name), folder=tmp_path / f"{name} model") for name in ("one", "other")]
    changes: dict[str, dict[str, Any]] = {
        "channel_names": {"channel_names": {"0": "another"}},
        "labels": {"labels": {"background": 0, "organ": 1, "another": 2}},
        "file_ending": {"file_ending": ".nrrd"},
        "regions_class_order": {
            "labels": {"background": 0, "organ": [1, 2], "lesion": 2},
            "regions_class_order": [1, 2],
        },
    }
    descriptions = [tiny_json(), {**tiny_json(), **changes[what]}]
    for member, content in zip(members, descriptions, strict=True):
        write_json(member.folder / "dataset.json", content)
    first = parse_dataset_json(members[0].folder / "dataset.json")
    named_model._refuse_unlike(members[0], [members[0], members[0]], first)
    with pytest.raises(PackageError, match=f"has other .*{what}.* so that their probabilities are not of the same"):
        named_model._refuse_unlike(members[0], [members[0], members[1]], first)
