"""New images into a folder: what is predicted, kept, refused and written; the child stands for nnU-Net."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.errors import NnunetAssetsError, PredictionError
from nnunet_assets.nnunet.predictions import cases_run
from nnunet_assets.processes.machine import disk_space
from nnunet_assets.workflows.model.predict import predict_images
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case
from nnunet_assets_tests.predict_builders import PredictProject, write_predict_project
from nnunet_assets_tests.prediction_builders import write_folds


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictProject:
    project = write_predict_project(tmp_path)
    monkeypatch.setattr(cases_run, "run_child", project.child)
    return project


def masks(project: PredictProject) -> list[str]:
    return sorted(path.name for path in project.output.glob("*.nii.gz"))


def test_the_folds_predict_together_and_the_folder_says_what_made_it(project: PredictProject) -> None:
    done = predict_images(project.plan(step_size=0.7, mirroring=False), project.progress)

    (request,) = project.child.requests
    (member,) = request.members
    assert (member.folds, member.checkpoint) == (("fold_0", "fold_1"), "checkpoint_final.pth")
    assert (request.flags.step_size, request.flags.use_mirroring, request.flags.save_probabilities) == (
        0.7,
        False,
        False,
    )
    assert masks(project) == ["new_1.nii.gz", "new_2.nii.gz"]
    assert done.headline == "2 of 2 cases were predicted now on a fast GPU."
    manifest = json.loads((project.output / "predictions.json").read_text())
    assert (manifest["step_size"], manifest["mirroring"], manifest["made_by"]) == (0.7, False, done.digest)
    assert manifest["cases"]["new_1"]["voxels"] == {"1": 3, "2": 4}
    assert manifest["members"][0]["folds"] == ["fold_0", "fold_1"]
    assert (project.output / "dataset.json").is_file()
    assert (project.output / "plans.json").is_file()


def test_the_table_has_voxels_volumes_warnings_and_the_model(project: PredictProject) -> None:
    (project.images / "new_2_0000.nii.gz").write_bytes((project.images / "new_1_0000.nii.gz").read_bytes())
    done = predict_images(project.plan(), project.progress)

    rows = list(csv.DictReader((project.output / "predictions.csv").read_text().splitlines()))
    # The child says 3 and 4 voxels of 10 mm³.
    assert [(row["case"], row["organ_voxels"], row["organ_ml"], row["lesion_ml"]) for row in rows] == [
        ("new_1", "3", "0.03", "0.04"),
        ("new_2", "3", "0.03", "0.04"),
    ]
    assert rows[0]["warnings"] == "D054"
    assert {row["model"] for row in rows} == {done.digest}
    assert any("have the same image, voxel for voxel" in said for said in project.progress.warned)
    # Other images that join them leave what was said of these.
    project.predict(images=[write_case(project.images.parent / "other.nii.gz", HIGHER)])
    rows = list(csv.DictReader((project.output / "predictions.csv").read_text().splitlines()))
    assert [(row["case"], row["warnings"]) for row in rows] == [("new_1", "D054"), ("new_2", ""), ("other", "")]


def test_what_is_finished_is_not_predicted_again_and_other_images_join_it(project: PredictProject) -> None:
    assert project.predict() == ["new_1", "new_2"]
    assert project.predict() == []
    write_case(project.images / "new_3_0000.nii.gz", REFERENCE)
    assert project.predict() == ["new_3"]
    other = write_case(project.images.parent / "other.nii.gz", REFERENCE)
    assert project.predict(images=[other]) == ["other"]
    manifest = json.loads((project.output / "predictions.json").read_text())
    assert list(manifest["cases"]) == ["new_1", "new_2", "new_3", "other"]


def test_a_killed_prediction_goes_on_with_the_cases_that_are_missing(project: PredictProject) -> None:
    project.child.dies_after = 1
    said = r"RuntimeError\. 1 of 2 cases were predicted and are kept: run the same command again to go on"
    with pytest.raises(PredictionError, match=said):
        project.predict()
    assert len(masks(project)) == 1
    (project.output / ".nnunet_assets" / "parts" / "new_2.nii.gz").write_text("half a mask")
    (project.output / "previews").mkdir(exist_ok=True)
    for folder in ("previews", ".nnunet_assets", ".nnunet_assets/records", "."):
        (project.output / folder / f".new_1.png.{'a' * 32}").write_text("half a file")

    project.child.dies_after = None
    assert len(project.predict()) == 1
    assert len(masks(project)) == 2
    assert list((project.output / ".nnunet_assets" / "parts").iterdir()) == []
    assert list(project.output.rglob(f"*.{'a' * 32}")) == []


def test_what_a_pattern_finds_is_said_and_written_beside_the_masks(project: PredictProject) -> None:
    for number, folder in enumerate(("scan 1", "scan 2")):
        (project.images / folder).mkdir()
        old = project.images / f"new_{number + 1}_0000.nii.gz"
        old.rename(project.images / folder / "ct.nii.gz")
    project.predict(pattern="{case}/{channel}.nii.gz", channels=["ct"])
    assert project.progress.said[0] == (
        "The pattern finds 2 cases: scan_1 is scan 1/ct.nii.gz, scan_2 is scan 2/ct.nii.gz. 2 names have signs that no "
        "case may have, and got others."
    )
    other = write_case(project.images.parent / "other.nii.gz", REFERENCE)
    project.predict(images=[other])
    assert list(csv.reader((project.output / "images.csv").read_text().splitlines())) == [
        ["case", "channel", "file"],
        ["other", "0", str(other)],
        ["scan_1", "0", str(project.images / "scan 1" / "ct.nii.gz")],
        ["scan_2", "0", str(project.images / "scan 2" / "ct.nii.gz")],
    ]


def test_a_mask_whose_record_is_not_there_was_not_made_here(project: PredictProject) -> None:
    project.output.mkdir()
    (project.output / "new_1.nii.gz").write_text("somebody's own work")
    with pytest.raises(PredictionError, match=r"It holds files that were not predicted here: new_1\.nii\.gz"):
        project.predict()
    assert (project.output / "new_1.nii.gz").read_text() == "somebody's own work"
    assert project.predict(overwrite=True) == ["new_1", "new_2"]


def _other_flags(_: PredictProject) -> dict[str, Any]:
    return {"step_size": 0.9}


def _other_weights(project: PredictProject) -> dict[str, Any]:
    project.checkpoints[1].write_text("trained anew")
    return {}


def _other_images(project: PredictProject) -> dict[str, Any]:
    write_case(project.images / "new_2_0000.nii.gz", REFERENCE * 3)
    return {}


def _corrected_by_hand(project: PredictProject) -> dict[str, Any]:
    (project.output / "new_2.nii.gz").write_text("corrected by hand")
    return {}


@pytest.mark.parametrize(
    ("change", "said", "again"),
    [
        (_other_flags, "made otherwise: step_size was 0.5 and is 0.9", ["new_1", "new_2"]),
        (_other_weights, "made otherwise: by Dataset001_Tiny / nnUNetTrainer__nnUNetPlans__2d, 2 folds (", None),
        (_other_images, "It holds masks of other images with these names: new_2", ["new_1", "new_2"]),
        (_corrected_by_hand, "These masks were changed since they were predicted: new_2", ["new_1", "new_2"]),
    ],
)
def test_what_would_be_mixed_or_lost_is_refused_by_name_unless_told_to_overwrite(
    project: PredictProject, change: Callable[[PredictProject], dict[str, Any]], said: str, again: list[str] | None
) -> None:
    project.predict()
    changes = change(project)
    if again is None:
        # The folds' COMMITs vouch for their checkpoints; another model is one that was trained anew.
        write_folds(project.settings.roots)
        project.checkpoints[1].write_text("trained anew")
        again = ["new_1", "new_2"]
    before = {name: (project.output / name).read_bytes() for name in masks(project)}

    assert said in project.plan(**changes).conflicts[0]
    with pytest.raises(PredictionError, match=re.escape(said)):
        project.predict(**changes)
    assert {name: (project.output / name).read_bytes() for name in masks(project)} == before
    assert project.predict(overwrite=True, **changes) == again
    assert project.predict(**changes) == []


def test_another_model_that_overwrites_leaves_no_mask_of_the_one_before(project: PredictProject) -> None:
    write_case(project.images / "new_3_0000.nii.gz", REFERENCE)
    project.predict()
    (project.images / "new_3_0000.nii.gz").unlink()
    project.predict(step_size=0.9, overwrite=True)
    assert masks(project) == ["new_1.nii.gz", "new_2.nii.gz"]


def test_while_one_process_predicts_into_a_folder_another_is_refused(project: PredictProject) -> None:
    plan, work = project.plan(), project.output / ".nnunet_assets"
    work.mkdir(parents=True)
    with (
        kernel_lock(work / "owner.lock"),
        pytest.raises(NnunetAssetsError, match="Another process predicts into"),
    ):
        predict_images(plan, project.progress)


def test_postprocessing_is_the_models_unless_it_is_left(project: PredictProject) -> None:
    found = project.model()
    model = replace(found, usable=replace(found.usable, postprocessing=((1, 2), (2,))))
    project.predict(model)
    project.predict(model, postprocessing=False, output=project.output.with_name("raw"))
    assert [request.postprocessing for request in project.child.requests] == [((1, 2), (2,)), ()]


def test_a_cascade_predicts_by_the_stage_before_first_and_goes_on_from_its_masks(project: PredictProject) -> None:
    found = project.model()
    (own,) = found.usable.members
    stage = Member(replace(own.experiment, configuration="3d_lowres"), own.folder.parent, own.folds, own.checkpoint)
    model = replace(found, usable=replace(found.usable, members=(own, replace(own, previous=stage))))

    project.child.dies_after = 1
    with pytest.raises(PredictionError, match="1 of 2 cases"):
        project.predict(model, save_probabilities=True)
    project.child.dies_after = None
    project.predict(model, save_probabilities=True)

    first, again, last = project.child.requests
    assert first.members == again.members == (stage,)
    assert (len(first.cases), len(again.cases)) == (2, 1)
    assert not again.flags.save_probabilities
    assert last.members == model.usable.members
    for case in last.cases:
        none, previous = case.previous
        assert none is None
        assert previous is not None
        assert previous.read_bytes() == case.images[0].read_bytes()
    assert masks(project) == ["new_1.nii.gz", "new_2.nii.gz"]


def test_the_masks_of_a_stage_are_those_of_the_images_that_are_there_now(project: PredictProject) -> None:
    found = project.model()
    (own,) = found.usable.members
    first = Member(replace(own.experiment, configuration="2d_small"), own.folder.parent.parent, own.folds, "first.pth")
    stage = Member(replace(own.experiment, configuration="3d_lowres"), own.folder.parent, own.folds, "stage.pth", first)
    model = replace(found, usable=replace(found.usable, members=(replace(own, previous=stage),)))
    project.predict(model)
    assert [request.members[0] for request in project.child.requests] == [first, stage, *model.usable.members]
    (project.output / "new_1.nii.gz").unlink()
    write_case(project.images / "new_1_0000.nii.gz", HIGHER)
    project.predict(model)
    for request in project.child.requests[-2:]:
        ((case, (previous,)),) = [(case, case.previous) for case in request.cases]
        assert previous is not None
        assert previous.read_bytes() == case.images[0].read_bytes()


def test_a_picture_of_each_case_shows_where_its_mask_is(project: PredictProject) -> None:
    project.predict(previews=True)
    drawn = sorted((project.output / "previews").iterdir())
    assert [path.name for path in drawn] == ["new_1.png", "new_2.png"]
    assert drawn[0].read_bytes() != drawn[1].read_bytes()
    stamps = [path.stat().st_mtime_ns for path in drawn]
    project.predict(previews=True)
    assert [path.stat().st_mtime_ns for path in drawn] == stamps
    drawn[0].unlink()
    project.predict(previews=True)
    assert drawn[0].is_file()


def test_a_twentieth_of_what_may_be_needed_must_be_free_and_files_of_the_first_member_lie_beside_the_masks(
    project: PredictProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, int]] = []
    found = project.model()
    (own,) = found.usable.members
    other = replace(own, folder=own.folder.parent / "other", folds=own.folds[:1])
    other.folder.mkdir()
    plan = project.plan(replace(found, usable=replace(found.usable, members=(own, other))), save_probabilities=True)

    def lacking_room(there: Path, n_bytes: int, _what: str) -> str:
        asked.append((there, n_bytes))
        return "The disk is full."

    with monkeypatch.context() as patch:
        patch.setattr(disk_space, "lacking_room", lacking_room)
        with pytest.raises(PredictionError, match=r"The disk is full\. Make room there, or name a folder on another"):
            predict_images(plan, project.progress)
    # Two cases of 480 voxels, of three labels of four bytes and a mask.
    assert asked == [(project.output, round(2 * 480 * 12.05) // 20)]
    predict_images(plan, project.progress)
    assert (project.output / "dataset.json").read_bytes() == (own.folder / "dataset.json").read_bytes()


def test_how_many_cases_are_to_be_predicted_and_are_there_is_said(project: PredictProject) -> None:
    project.predict()
    (project.output / "new_1.nii.gz").unlink()
    project.predict()
    assert [one for one in project.progress.said if "to be predicted" in one] == [
        f"2 cases are to be predicted into {project.output} by {project.model().usable.title}.",
        f"1 case is to be predicted into {project.output} by {project.model().usable.title}; 1 is there already.",
    ]
