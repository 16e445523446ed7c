"""Masks, checkpoints and inputs that are not what they were."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.core.fold.members import Member, members_to_json
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.core.verification.findings import Finding, Verdict
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.evaluation import rescoring
from nnunet_assets.nnunet.evaluation.rescoring import RescoredCase
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.data_checks import checkpoint_findings, input_findings, mask_findings
from nnunet_assets.workflows.verification.recorded_folds import RecordedFold, recorded_fold
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import REFERENCE, write_case
from nnunet_assets_tests.recorded_progress import RecordedProgress
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


SCORED_BEFORE = LabelScore(0.5, 0.5)
"""Of every label of every case of the builders, in Dice."""


def rescored(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    scores: Callable[[LabelScore], LabelScore | None],
    only: frozenset[str] = frozenset(),
) -> list[Finding]:
    """Returns what is found where the masks of these cases, or all, give other scores than were recorded."""
    recorded = {case.case_id: case.scores for fold in folds(settings) if fold.result for case in fold.result.cases}

    def again(folder: Path, references: Path, cases: list[str], trusted: frozenset[str]) -> Iterator[RescoredCase]:
        for case in cases:
            found = {
                name: scores(score) if not only or case in only else score for name, score in recorded[case].items()
            }
            is_there = None not in found.values()
            problem = "" if is_there else f"{case} is torn."
            yield RescoredCase(case, found if is_there else None, problem)

    monkeypatch.setattr(rescoring, "rescored_cases", again)
    return masks(settings)


@pytest.mark.parametrize("off", [1e-13, -1e-13, 0.0])
def test_scores_that_differ_by_a_last_digit_are_the_same(
    whole: Settings, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    def moved(score: LabelScore) -> LabelScore:
        assert score.dice is not None
        return replace(score, dice=score.dice + off)

    first, second = rescored(whole, monkeypatch, moved)
    assert (first.verdict, second.verdict) == ("holds", "holds")
    assert first.sentence == (
        f"4 predicted masks of fold_0 of {EXPERIMENT.name_in_dataset} were scored again, and give the same Dice and "
        "IoU."
    )


@pytest.mark.parametrize("name", ["dice", "iou"])
@pytest.mark.parametrize("value", [0.0, 1.0, None])
def test_another_score_is_named_with_both(
    whole: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: float | None
) -> None:
    found = rescored(whole, monkeypatch, lambda score: replace(score, **{name: value}), frozenset("a"))
    assert verdicts(found) == ["changed", "changed", "holds"]
    shown = "undefined" if value is None else repr(value)
    assert f"a, organ: the mask gives {name} {shown}, and " in found[0].sentence


def test_of_many_different_scores_five_are_named_and_the_others_counted(
    whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of each case organ and lesion.
    for cases, n_named in (("ab", 4), ("abc", 6)):
        found = rescored(whole, monkeypatch, lambda score: replace(score, dice=1.0), frozenset(cases))
        assert verdicts(found) == ["changed"] * n_named + ["holds"]
    assert found[5].sentence == "1 more scores of fold_0 of nnUNetTrainer__nnUNetPlans__2d are different."


def test_cases_that_cannot_be_scored_do_not_hide_those_that_are_different(
    whole: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rescored(whole, monkeypatch, lambda score: None, frozenset("ab"))
    assert verdicts(found) == ["unknown", "holds"]
    assert "2 of 4 cases of fold_0" in found[0].sentence
    assert "a: a is torn." in found[0].sentence


def test_a_fold_that_is_not_there_does_not_stop_the_next(whole: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = folds(whole)
    references = whole.roots
    for gone in (replace(first, state="superseded"), replace(first, result=None)):
        progress = RecordedProgress()
        found = list(mask_findings(references, EXPERIMENT, [gone, second], frozenset(), progress))
        assert verdicts(found) == ["unknown", "holds"]
        assert progress.steps == [("cases scored again", k, 4) for k in (1, 2, 3, 4)]

    def fails(*_: object) -> Iterator[RescoredCase]:
        raise DatasetError("No labels.")

    monkeypatch.setattr(rescoring, "rescored_cases", fails)
    assert [one.sentence.partition("again: ")[2] for one in masks(whole)] == ["No labels."] * 2


def test_progress_counts_the_cases_of_every_fold(whole: Settings) -> None:
    progress = RecordedProgress()
    assert verdicts(list(mask_findings(whole.roots, EXPERIMENT, folds(whole), frozenset(), progress))) == ["holds"] * 2
    assert progress.steps == [("cases scored again", k, 8) for k in range(1, 9)]
    assert verdicts(list(checkpoint_findings(folds(whole), progress))) == ["holds"] * 2
    assert progress.steps[8:] == [("folds whose checkpoints are read", k, 2) for k in (1, 2)]


def test_a_fold_without_checkpoints_is_said_and_one_that_is_gone_passed_over(whole: Settings) -> None:
    first, second = folds(whole)
    assert first.finished is not None
    files = {name: sha for name, sha in first.finished.manifest.files.items() if not name.endswith(".pth")}
    bare = replace(first, finished=replace(first.finished, manifest=replace(first.finished.manifest, files=files)))
    found = list(checkpoint_findings([replace(first, finished=None), bare, second], Silent()))
    assert verdicts(found) == ["unknown", "holds"]
    assert found[0].sentence.startswith("No checkpoint of fold_0 of ")


def test_checkpoints_of_the_members_of_an_ensemble_are_compared(project: Settings) -> None:
    """The fold of an ensemble lies as deep as those of its members."""
    first, _ = folds(project)
    assert first.finished is not None
    model = EXPERIMENT.model_folder(project.roots)
    of_ensemble = Experiment.ensemble(DATASET, "both").fold_folder(project.roots, "fold_0")
    there = Member(
        EXPERIMENT.name_in_dataset,
        str(model.relative_to(project.roots.results)),
        first.finished.sha256,
        first.finished.manifest.files["checkpoint_final.pth"],
    )
    members = [
        there,
        replace(there, commit="0" * 64),
        replace(there, folder="Dataset001_Tiny/nowhere"),
        replace(there, checkpoint="0" * 64),
    ]
    manifest = replace(first.finished.manifest, files={}, details={"members": members_to_json(members)})
    ensembled = replace(first, folder=of_ensemble, finished=replace(first.finished, manifest=manifest))
    found = list(checkpoint_findings([ensembled], Silent()))
    assert verdicts(found) == ["holds", "changed", "unknown", "changed"]
    assert f"checkpoint_final.pth of fold_0 of {there.name} is the one of its manifest." in found[0].sentence
    assert "is not in" in found[1].sentence


def test_plans_that_cannot_be_used_are_other_plans_or_none(project: Settings) -> None:
    inputs = inputs_of(project.roots)
    file = project.roots.preprocessed / DATASET / "nnUNetPlans.json"
    for content, verdict in {
        '{"configurations": {}}': "changed",
        '{"configurations": 3}': "unknown",
        "{}": "unknown",
    }.items():
        file.write_text(content)
        plans = list(input_findings(walk(project), EXPERIMENT, inputs))[1]
        assert (plans.what, plans.verdict) == ("plans in nnUNet_preprocessed", verdict), content
    ensemble = Experiment.ensemble(DATASET, "both")
    assert [one.what for one in input_findings(walk(project), ensemble, inputs)] == ["raw data", "split"]
    (project.roots.preprocessed / DATASET / "splits_final.json").write_text("{")
    assert list(input_findings(walk(project), EXPERIMENT, inputs))[-1].verdict == "unknown"
