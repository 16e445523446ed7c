"""The masks of a test set, against what they were predicted with."""

import json
import shutil

import pytest

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.errors import VerificationError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.predicted_test_set import (
    prediction_findings,
    predictions_digest,
    references_of_test_set,
    store_of_test_set,
)
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import HIGHER, write_case
from nnunet_assets_tests.verification_builders import DATASET, EXPERIMENT, LONG, exported_files


def found(settings: Settings) -> list[Finding]:
    return list(prediction_findings(Walk(settings.roots, frozenset(), Silent(), False), EXPERIMENT))


def verdicts(settings: Settings) -> list[str]:
    return [one.verdict for one in found(settings)]


def test_they_are_those_that_a_gap_names(whole: Settings) -> None:
    assert verdicts(whole) == ["holds"] * 3
    content = load_json(exported_files(whole)["gap.json"])
    assert predictions_digest(whole.roots, EXPERIMENT) == content["predictions"]
    assert predictions_digest(whole.roots, LONG) is None


def test_masks_that_are_gone_or_changed_are_named(project: Settings) -> None:
    folder = store_of_test_set(project.roots, EXPERIMENT).folder
    (folder / "new_1.nii.gz").unlink()
    assert "1 masks of 2 test cases are not there any more: new_1." in found(project)[0].sentence
    write_case(folder / "new_2.nii.gz", HIGHER)
    assert "1 masks of 2 test cases were changed since they were predicted: new_2." in found(project)[0].sentence


def test_other_plans_or_folds_are_named(project: Settings) -> None:
    plans = EXPERIMENT.model_folder(project.roots) / "plans.json"
    plans.write_text(json.dumps(json.loads(plans.read_text()), indent=1))
    assert verdicts(project) == ["holds", "changed", "holds"]
    shutil.rmtree(EXPERIMENT.fold_folder(project.roots, "fold_1"))
    assert verdicts(project) == ["holds", "unknown", "holds"]


def test_images_that_are_gone_or_came_in_are_named(project: Settings) -> None:
    raw = project.roots.raw / DATASET
    for folder, name in (("imagesTs", "new_3_0000"), ("labelsTs", "new_3")):
        write_case(raw / folder / f"{name}.nii.gz", HIGHER)
    assert found(project)[2].sentence == "1 test cases have other images than were predicted: new_3."
    shutil.rmtree(raw / "imagesTs")
    assert verdicts(project) == ["holds", "holds", "unknown"]


def test_references_and_predictions_that_are_gone_are_said(project: Settings) -> None:
    assert references_of_test_set(project.roots, EXPERIMENT).name == "labelsTs"
    shutil.rmtree(project.roots.raw / DATASET / "labelsTs")
    with pytest.raises(VerificationError, match="which has the references, is not there any more"):
        references_of_test_set(project.roots, EXPERIMENT)
    shutil.rmtree(store_of_test_set(project.roots, EXPERIMENT).folder)
    (finding,) = found(project)
    assert (finding.verdict, "is not recorded" in finding.sentence) == ("unknown", True)
    (EXPERIMENT.model_folder(project.roots) / "dataset.json").unlink()
    assert predictions_digest(project.roots, EXPERIMENT) is None


def test_of_two_masks_the_changed_one_is_told_before_the_one_that_is_gone(project: Settings) -> None:
    folder = store_of_test_set(project.roots, EXPERIMENT).folder
    assert found(project)[0].sentence == "The masks of 2 test cases are, byte by byte, those that were predicted."
    (folder / "new_2.nii.gz").unlink()
    assert [one.verdict for one in found(project)] == ["unknown", "holds", "holds"]
    (folder / "new_1.nii.gz").write_bytes(b"torn")
    first = found(project)[0]
    assert (first.verdict, first.level) == ("changed", "masks")
    assert first.sentence.startswith("1 masks of 2 test cases were changed since they were predicted: new_1.")


def test_images_are_read_again_but_where_it_is_quick(whole: Settings) -> None:
    quick = list(prediction_findings(Walk(whole.roots, frozenset(), Silent(), True), EXPERIMENT))
    assert [one.level for one in quick] == ["masks", "checkpoints"]
    assert [one.level for one in found(whole)] == ["masks", "checkpoints", "inputs"]
    assert found(whole)[1].sentence == (
        "The test set was predicted with the checkpoints, plans and dataset.json of 2 folds."
    )


def test_images_that_are_no_test_set_any_more_are_named(project: Settings) -> None:
    raw = project.roots.raw / DATASET
    write_case(raw / "imagesTs" / "new_1_0000.nii.gz", HIGHER)
    assert found(project)[2].sentence == "1 test cases have other images than were predicted: new_1."
    for folder, name in (("imagesTs", "new_2_0000"), ("labelsTs", "new_2")):
        (raw / folder / f"{name}.nii.gz").unlink()
    assert found(project)[2].sentence == "2 test cases have other images than were predicted: new_1, new_2."
