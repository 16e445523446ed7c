"""Masks, checkpoints and inputs that are not what they were."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding, Verdict
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.data_checks import checkpoint_findings, input_findings, mask_findings
from nnunet_assets.workflows.verification.recorded_folds import RecordedFold, recorded_fold
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import REFERENCE, write_case
from nnunet_assets_tests.verification_builders import DATASET, EXPERIMENT, FOLDS, inputs_of


def folds(settings: Settings) -> list[RecordedFold]:
    return [recorded_fold(settings.roots, EXPERIMENT, fold, None) for fold in FOLDS]


def masks(settings: Settings) -> list[Finding]:
    return list(mask_findings(settings.roots, EXPERIMENT, folds(settings), frozenset(), Silent()))


def walk(settings: Settings, *, quick: bool = True) -> Walk:
    return Walk(settings.roots, frozenset(), Silent(), quick)


def verdicts(findings: list[Finding]) -> list[Verdict]:
    return [one.verdict for one in findings]


def test_another_mask_scores_otherwise(project: Settings) -> None:
    mask = EXPERIMENT.fold_folder(project.roots, "fold_0") / "validation" / "b.nii.gz"
    write_case(mask, REFERENCE)

    findings = masks(project)

    assert verdicts(findings) == ["changed"] * 4 + ["holds"]
    assert findings[0].sentence == (
        "fold_0 of nnUNetTrainer__nnUNetPlans__2d, b, organ: the mask gives dice 1.0, and 0.5 was recorded."
    )


def test_masks_that_are_gone_or_torn_cannot_be_scored(project: Settings) -> None:
    folder = EXPERIMENT.fold_folder(project.roots, "fold_0") / "validation"
    (folder / "a.nii.gz").unlink()
    (folder / "b.nii.gz").write_bytes(b"torn")
    (project.roots.preprocessed / DATASET / "gt_segmentations" / "c.nii.gz").unlink()
    write_case(folder / "d.nii.gz", REFERENCE[1:])

    (first, second) = masks(project)

    assert (first.verdict, second.verdict) == ("unknown", "holds")
    assert first.sentence.startswith("4 of 4 cases of fold_0 of nnUNetTrainer__nnUNetPlans__2d cannot be scored again")
    assert "is not there any more." in first.sentence
    assert "the shape" in first.sentence


def test_a_model_without_its_dataset_json_has_no_labels(project: Settings) -> None:
    found = folds(project)
    (EXPERIMENT.model_folder(project.roots) / "dataset.json").unlink()
    findings = list(mask_findings(project.roots, EXPERIMENT, found, frozenset(), Silent()))
    assert verdicts(findings) == ["unknown", "unknown"]


def test_checkpoints_are_read_byte_by_byte(project: Settings) -> None:
    found = folds(project)
    places = [fold.folder / "checkpoint_final.pth" for fold in found]
    assert verdicts(list(checkpoint_findings(found, Silent()))) == ["holds", "holds"]
    places[0].write_bytes(b"x")
    places[1].unlink()
    findings = list(checkpoint_findings(found, Silent()))
    assert verdicts(findings) == ["changed", "unknown"]
    assert "is another file: SHA-256 2d711642b726" in findings[0].sentence
    assert "cannot be read any more" in findings[1].sentence


def change_plans(folder: Path) -> None:
    write_json_atomically(folder / "nnUNetPlans.json", {"configurations": {"2d": {"patch_size": [4, 4]}}})


def change_split(folder: Path) -> None:
    (folder / "splits_final.json").write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))


def change_raw(folder: Path) -> None:
    write_json_atomically(folder / ".nnunet_assets" / "raw.json", {"content_hash": "other"})


@pytest.mark.parametrize(
    ("change", "what"),
    [(change_plans, "plans in nnUNet_preprocessed"), (change_split, "split"), (change_raw, "raw data")],
)
def test_inputs_that_were_changed_since_are_named(project: Settings, change: Callable[[Path], None], what: str) -> None:
    inputs = inputs_of(project.roots)
    before = list(input_findings(walk(project), EXPERIMENT, inputs))
    change(project.roots.preprocessed / DATASET)
    after = list(input_findings(walk(project), EXPERIMENT, inputs))

    assert verdicts(before) == ["holds"] * 4
    assert [one.what for one in after if one.verdict == "changed"] == [what]


def test_inputs_that_are_gone_or_were_never_known_cannot_be_compared(project: Settings) -> None:
    folder, inputs = project.roots.preprocessed / DATASET, inputs_of(project.roots)
    for name in ("nnUNetPlans.json", "splits_final.json", ".nnunet_assets/raw.json"):
        (folder / name).unlink()
    findings = list(input_findings(walk(project), EXPERIMENT, inputs))
    assert verdicts(findings) == ["unknown", "unknown", "holds", "unknown"]
    adopted = FoldInputs(UNKNOWN, inputs.plans_hash, UNKNOWN, "")
    assert "was never recorded" in next(input_findings(walk(project), EXPERIMENT, adopted)).sentence
