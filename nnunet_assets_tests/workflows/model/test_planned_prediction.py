"""New images, looked at before any work: what is to be done, what is refused and what is warned of."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.errors import DatasetError, PredictionError
from nnunet_assets.nnunet.predictions import cases_run, checked_images
from nnunet_assets.nnunet.predictions.output_folder import OutputFolder
from nnunet_assets.workflows.model import planned_prediction
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case
from nnunet_assets_tests.predict_builders import PredictProject, write_predict_project
from nnunet_assets_tests.raw_builders import write_volume


@pytest.fixture
def project(tmp_path: Path) -> PredictProject:
    return write_predict_project(tmp_path)


def test_a_dry_run_writes_nothing(project: PredictProject) -> None:
    plan = project.plan(save_probabilities=True)
    assert plan.missing == ("new_1", "new_2")
    # 480 voxels a case, three labels of four bytes and a twentieth of a byte for the mask.
    assert plan.needed_bytes == round(2 * 480 * (12 + 0.05))
    # A compressed mask is much less, and probabilities are kept where somebody asks for them.
    assert project.plan().needed_bytes == round(2 * 480 * 0.05)
    assert not project.output.exists()


def test_what_is_finished_is_not_made_again_unless_somebody_says_so(
    project: PredictProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cases_run, "run_child", project.child)
    project.predict()
    assert project.plan().missing == ()
    assert project.plan(overwrite=True).missing == ("new_1", "new_2")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: write_volume(folder / "new_2_0000.nii.gz", REFERENCE * float("nan")), "D031 images/new_2_0000"),
        (lambda folder: (folder / "new_2_0000.nii.gz").write_bytes(b"no image"), "images/new_2_0000.nii.gz"),
        (lambda folder: write_case(folder / "new_2_0001.nii.gz", REFERENCE), "D022 Case 'new_2'"),
        (lambda folder: write_case(folder / "other.nii.gz", REFERENCE), "D025 images/other.nii.gz"),
        (lambda folder: [path.rename(path.with_suffix("")) for path in folder.iterdir()], "D019 file_ending is"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "D028 images holds no file"),
    ],
    ids=["NaN", "no image", "a channel too many", "no channel number", "another ending", "nothing"],
)
def test_what_is_wrong_with_an_image_is_said_before_any_work(
    project: PredictProject, spoil: Callable[[Path], Any], said: str
) -> None:
    spoil(project.images)
    with pytest.raises(DatasetError, match=re.escape(said)):
        project.plan()
    assert not project.output.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step_size": 0.0}, "must lie in (0, 1]"),
        ({"step_size": float("nan")}, "must lie in (0, 1]"),
        ({"output": "images"}, "the masks would lie among them"),
        ({"output": "images/masks", "pattern": "{case}_{channel}.nii.gz"}, "may take masks for images"),
    ],
)
def test_flags_and_folders_of_no_use_are_refused(project: PredictProject, changes: dict[str, Any], said: str) -> None:
    if "output" in changes:
        changes = {**changes, "output": project.images.parent / changes["output"]}
    with pytest.raises(PredictionError, match=re.escape(said)):
        project.plan(**changes)


def test_images_unlike_those_of_the_training_are_warned_of(project: PredictProject) -> None:
    found = project.model()
    expected = replace(found.expected, spacing_low=(1.0, 1.0, 1.0), spacing_high=(2.0, 2.0, 2.0), n_cases=7)
    plan = project.plan(replace(found, expected=expected))
    assert [finding.code for finding in plan.warnings] == ["D072", "D072"]
    turned = replace(found, expected=replace(expected, orientations=("LPS",), spacing_low=None))
    assert [finding.code for finding in project.plan(turned).warnings] == ["D081", "D081"]
    # 5 x 2 x 1 mm as nnU-Net has it.
    assert "voxels of 5 × 2 × 1 mm" in plan.warnings[0].message
    assert HIGHER.shape == REFERENCE.shape


def found_by_pattern(folder: Path, *files: str, renamed: tuple[str, ...] = ()) -> Any:
    cases = [SimpleNamespace(case=Path(file).stem, images=[folder / file, folder / "other"]) for file in files]
    return SimpleNamespace(folder=folder, cases=cases, renamed=renamed)


def test_which_file_became_which_case_is_said_of_a_pattern(project: PredictProject, tmp_path: Path) -> None:
    said = planned_prediction._said_of_pattern
    assert said(found_by_pattern(tmp_path, "x/a.png")) == "The pattern finds 1 case: a is x/a.png."
    four = found_by_pattern(tmp_path, "a.png", "b.png", "c.png", "d.png", renamed=("b", "c"))
    assert said(four) == (
        "The pattern finds 4 cases: a is a.png, b is b.png, c is c.png and 1 more. 2 names have signs that no case may "
        "have, and got others."
    )
    project.plan()
    assert project.progress.said == []
    project.plan(pattern="{case}_{channel}.nii.gz")
    assert project.progress.said == [
        "The pattern finds 2 cases: new_1 is new_1_0000.nii.gz, new_2 is new_2_0000.nii.gz."
    ]


def test_room_is_needed_for_the_masks_that_are_missing(project: PredictProject) -> None:
    plan = project.plan()
    assert replace(plan, missing=("new_1",)).needed_bytes == round(480 * 0.05)
    assert replace(plan, missing=()).needed_bytes == 0
    facts = tuple(replace(fact, geometry=None) if fact.case == "new_1" else fact for fact in plan.checked.facts)
    assert replace(plan, checked=replace(plan.checked, facts=facts)).needed_bytes == round(480 * 0.05)


def test_images_are_read_as_the_first_member_reads_them_and_remembered_where_masks_are_made(
    project: PredictProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path, bool]] = []

    def checked(*_: Any, model_folder: Path, cache: Any, **__: Any) -> None:
        asked.append((model_folder, cache is not None))
        raise PredictionError("Enough.")

    monkeypatch.setattr(checked_images, "check_images", checked)
    found = project.model()
    (member,) = found.usable.members
    two = replace(found, usable=replace(found.usable, members=(member, replace(member, folder=project.images))))
    for is_there in (False, True):
        if is_there:
            OutputFolder(project.output, ".nii.gz").work.mkdir(parents=True)
        with pytest.raises(PredictionError, match="Enough"):
            project.plan(two)
    assert asked == [(member.folder, False), (member.folder, True)]


def test_masks_go_through_the_models_steps_unless_somebody_does_not_want_it(project: PredictProject) -> None:
    found = project.model()
    with_steps = replace(found, usable=replace(found.usable, postprocessing=((1,), (2,))))
    assert project.plan(with_steps).steps == ((1,), (2,))
    plain = project.plan(with_steps, postprocessing=False)
    assert (plain.steps, plain.made_by.settings["postprocessing"]) == ((), [])
    assert project.plan(with_steps).made_by.settings["postprocessing"] == [[1], [2]]


@pytest.mark.parametrize("step_size", [1.0, 0.5, 0.01])
def test_a_step_is_a_part_of_the_patch_or_all_of_it(project: PredictProject, step_size: float) -> None:
    assert project.plan(step_size=step_size).made_by.settings["step_size"] == step_size
    for other in (1.01, -0.1):
        with pytest.raises(PredictionError, match="must lie in"):
            project.plan(step_size=other)


def test_images_are_predicted_as_nnunet_does_where_nobody_asks_for_something_else(tmp_path: Path) -> None:
    asked = planned_prediction.Asked([tmp_path], tmp_path)
    assert asked == planned_prediction.Asked(
        images=[tmp_path],
        output=tmp_path,
        pattern=None,
        channels=(),
        step_size=0.5,
        mirroring=True,
        save_probabilities=False,
        postprocessing=True,
        overwrite=False,
        previews=True,
        device="auto",
        n_gpus=None,
    )
