"""Evaluations, down to the masks."""

import shutil
from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding, Verdict
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.evaluate import evaluate, target_named
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
