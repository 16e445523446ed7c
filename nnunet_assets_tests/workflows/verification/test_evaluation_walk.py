"""Evaluations, down to the masks."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.progress import Silent
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.core.verification.findings import Finding, Verdict
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.evaluate import evaluate, target_named
from nnunet_assets.workflows.verification import evaluation_walk
from nnunet_assets.workflows.verification.evaluation_walk import evaluation_findings
from nnunet_assets.workflows.verification.known_results import KnownResult, known_results
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import REFERENCE, references_of, write_case
from nnunet_assets_tests.verification_builders import EXPERIMENT, exported_files


def walked(settings: Settings, result: KnownResult, *, quick: bool = False) -> list[Finding]:
    return evaluation_findings(Walk(settings.roots, frozenset(), Silent(), quick), settings, result)


def evaluation(settings: Settings, *, test_set: bool = False) -> KnownResult:
    known = known_results(settings.roots)
    return next(one for one in known if one.kind == "evaluation" and one.is_of_test_set == test_set)


def said(findings: list[Finding], verdict: Verdict) -> list[str]:
    return [one.sentence for one in findings if one.verdict == verdict]


def edited(result: KnownResult) -> KnownResult:
    labels = {**result.content["labels"], "organ": {**result.content["labels"]["organ"], "n_cases": 9}}
    return replace(result, content={**result.content, "labels": labels})


def test_an_evaluation_is_measured_again(project: Settings) -> None:
    findings = walked(project, evaluation(project))
    assert {one.verdict for one in findings} == {"holds"}
    assert "The masks of 2 folds were measured again" in findings[0].sentence
    assert {one.level for one in findings} == {"masks", "checkpoints", "inputs"}
    assert "Labels.organ.n_cases is 9, and should be 8." in said(
        walked(project, edited(evaluation(project))), "changed"
    )

    table = exported_files(project)["cases.csv"]
    table.write_text(table.read_text().replace(",0.5,", ",0.4,", 1))
    assert any("is 0.4, and should be 0.5." in one for one in said(walked(project, evaluation(project)), "changed"))


def test_that_of_a_test_set_likewise(whole: Settings) -> None:
    known = evaluation(whole, test_set=True)
    findings = walked(whole, known)
    assert "The masks of 2 test cases were measured again" in said(findings, "holds")[0]
    assert {one.verdict for one in findings} == {"holds"}
    assert any("n_cases is 9, and should be 2" in one for one in said(walked(whole, edited(known)), "changed"))


def test_without_the_masks_it_is_held_against_its_own_table_and_this_against_what_nnunet_scored(
    project: Settings,
) -> None:
    known = evaluation(project)
    assert (
        "whose Dice and IoU are those of nnU-Net's summary.json" in said(walked(project, known, quick=True), "holds")[0]
    )
    assert any(
        "n_cases is 9, and should be 8" in one for one in said(walked(project, edited(known), quick=True), "changed")
    )
    other = exported_files(project)["test cases.csv"].with_name("cases.parquet")
    shutil.copy(other, known.file.with_name("cases.parquet"))
    assert len(said(walked(project, known, quick=True), "changed")) > 1
    known.file.with_name("cases.parquet").unlink()
    assert "cannot be held against its own table" in said(walked(project, known, quick=True), "unknown")[0]


def test_rules_that_contradict_themselves_are_named(whole: Settings) -> None:
    content = evaluation(whole).content
    organ = {**content["policy"]["labels"]["organ"], "values": [2]}
    rules = {**content["policy"], "labels": {**content["policy"]["labels"], "organ": organ}}
    for name, value in {"policy": rules, "policy_digest": "0" * 64, "definitions": {}}.items():
        other = replace(evaluation(whole), content={**content, name: value})
        assert said(walked(whole, other, quick=True), "changed"), name
    other = replace(evaluation(whole), content={**content, "metrics_version": 9})
    assert "version 9 of the metrics" in said(walked(whole, other, quick=True), "unknown")[0]


def test_another_mask_gives_other_distances(project: Settings) -> None:
    write_case(EXPERIMENT.fold_folder(project.roots, "fold_0") / "validation" / "a.nii.gz", REFERENCE)
    assert len(said(walked(project, evaluation(project)), "changed")) > 1


def test_one_of_plain_folders_cannot_be_traced(whole: Settings) -> None:
    known = evaluation(whole)
    (finding,) = walked(whole, replace(known, content={**known.content, "folds": []}))
    assert finding.verdict == "unknown"
    (finding,) = walked(whole, replace(known, experiment=None))
    assert finding.verdict == "unknown"


def test_one_by_other_rules_is_measured_by_these_and_one_with_other_references_is_not(
    project: Settings, tmp_path: Path
) -> None:
    second = tmp_path / "second reader"
    shutil.copytree(references_of(project.roots, EXPERIMENT), second)
    name = "/".join(EXPERIMENT.key_prefix)
    for references, tolerance_mm, verdict in ((None, 3.0, "holds"), (second, 1.0, "unknown")):
        target = target_named(project, name, references=references)
        found = evaluate(project, target, Silent(), tolerances_mm={"organ": tolerance_mm}, lesion_labels=[])
        known = next(one for one in known_results(project.roots) if one.file.parent == found.folder)
        assert walked(project, known)[0].verdict == verdict, walked(project, known)


@pytest.mark.parametrize(
    "content", [{"policy": 3}, {"policy": {}}, {"policy": {"labels": {"organ": {}}}}, {"folds": ["fold_7"]}]
)
def test_one_of_another_form_cannot_be_held_against_anything(whole: Settings, content: dict[str, Any]) -> None:
    known = evaluation(whole)
    other = replace(known, content={**known.content, **content})
    for quick, how in ((True, "held against its own table"), (False, "measured again")):
        found = walked(whole, other, quick=quick)[0]
        assert (found.level, found.verdict, f"cannot be {how}" in found.sentence) == ("masks", "unknown", True)


def test_what_holds_says_what_was_looked_at(whole: Settings) -> None:
    of_folds, of_test_set = evaluation(whole), evaluation(whole, test_set=True)
    said_of_each = [
        (one.level, one.sentence)
        for result in (of_folds, of_test_set)
        for one in (walked(whole, result, quick=True)[0], walked(whole, result)[0])
    ]
    assert said_of_each == [
        (
            "source",
            f"The means of {of_folds.title} are those of its table of 8 cases, whose Dice and IoU are those of "
            "nnU-Net's summary.json.",
        ),
        ("masks", f"The masks of 2 folds were measured again, and give the numbers of {of_folds.title}."),
        ("source", f"The means of {of_test_set.title} are those of its table of 2 cases."),
        ("masks", f"The masks of 2 test cases were measured again, and give the numbers of {of_test_set.title}."),
    ]


def test_differences_of_the_table_are_of_the_source_and_those_of_masks_of_the_masks(whole: Settings) -> None:
    for quick, level in ((True, "source"), (False, "masks")):
        found = [one for one in walked(whole, edited(evaluation(whole)), quick=quick) if one.verdict == "changed"]
        assert {one.level for one in found} == {level}
        assert not any("give the numbers of" in one for one in said(found, "holds"))


def test_inputs_are_those_of_the_first_fold_that_is_finished(project: Settings) -> None:
    shutil.rmtree(EXPERIMENT.fold_folder(project.roots, "fold_0"))
    found = walked(project, evaluation(project), quick=True)
    assert {one.what for one in found if one.level == "checkpoints"} == {
        f"fold_1 of {EXPERIMENT.name_in_dataset}, checkpoint_final.pth"
    }
    assert any(one.level == "inputs" for one in found)
    shutil.rmtree(EXPERIMENT.fold_folder(project.roots, "fold_1"))
    assert {one.level for one in walked(project, evaluation(project), quick=True)} == {"masks"}


@pytest.mark.parametrize(
    ("dice", "iou", "recorded", "odd"),
    [
        (0.5, 0.4, LabelScore(0.5, 0.4), []),
        (0.5 + 5e-13, 0.4 - 5e-13, LabelScore(0.5, 0.4), []),
        (0.6, 0.4, LabelScore(0.5, 0.4), ["dice"]),
        (0.4, 0.3, LabelScore(0.5, 0.4), ["dice", "iou"]),
        (None, None, LabelScore(None, None), []),
        (None, 0.4, LabelScore(0.5, 0.4), ["dice"]),
        (0.5, 0.4, LabelScore(0.5, None), ["iou"]),
        (0.0, 0.0, LabelScore(None, None), ["dice", "iou"]),
    ],
)
def test_scores_of_a_table_are_those_that_nnunet_recorded(
    dice: float | None, iou: float | None, recorded: LabelScore, odd: list[str]
) -> None:
    row = {"case": "a", "label": "organ", "dice": dice, "iou": iou}
    case = SimpleNamespace(scores={"organ": recorded})
    found = list(evaluation_walk._unlike_recorded(row, case))
    assert [one.where for one in found] == [f"a, organ, {name}" for name in odd]
    shown = [(str(row[name]), str(getattr(recorded, name))) for name in odd]
    assert [(one.found, one.expected) for one in found] == shown
    assert list(evaluation_walk._unlike_recorded(row, None)) == []
    assert list(evaluation_walk._unlike_recorded({**row, "label": "other"}, case)) == []


def test_folds_that_must_not_be_taken_together_have_no_means_to_be_compared(whole: Settings) -> None:
    known = evaluation(whole)
    bare = replace(known, content={**known.content, "labels": None, "bootstrap": None})
    expected = {"labels": {"organ": 1}, "n_evaluated": 8, "n_expected": 8, "bootstrap": 2}
    assert evaluation_walk._differences(bare, expected) == []
    assert [one.where for one in evaluation_walk._differences(bare, {**expected, "n_evaluated": 9})] == ["n_evaluated"]
    assert len(evaluation_walk._differences(known, expected)) > 1


def test_one_of_an_older_version_of_the_metrics_is_held_against_its_own_rules(whole: Settings) -> None:
    known = evaluation(whole)
    target: Any = evaluation_walk._target(whole, known, EXPERIMENT, ["fold_0", "fold_1"])
    older = {**known.content, "metrics_version": 1, "policy_digest": target.declared.digest_of_version(1)}
    rules = evaluation_walk._of_rules(replace(known, content={**older, "definitions": {}}), target)
    assert [one.where for one in rules] == []
    now = evaluation_walk._of_rules(replace(known, content={**known.content, "definitions": {}}), target)
    assert {one.where.partition(".")[0] for one in now} == {"definitions"}


def test_tables_that_are_not_there_are_not_compared(project: Settings) -> None:
    known = evaluation(project)
    for name in ("cases.csv", "cases.parquet"):
        known.file.with_name(name).unlink()
        assert "were measured again" in said(walked(project, known), "holds")[0]
