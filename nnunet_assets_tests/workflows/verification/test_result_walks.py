"""Comparisons and choices made again from their summaries, and gaps, down to the masks of their cases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding, Level, Verdict
from nnunet_assets.declarations.project import read_project
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.best import find_best_configuration
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets.workflows.verification.known_results import KnownResult, known_results
from nnunet_assets.workflows.verification.result_walks import result_findings
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import HIGHER, write_case
from nnunet_assets_tests.verification_builders import (
    DATASET,
    EXPERIMENT,
    FOLDS,
    LONG,
    WHOLE,
    exported_files,
    finish_fold,
)


def walked(settings: Settings, result: KnownResult, *, quick: bool = False) -> list[Finding]:
    walk = Walk(settings.roots, frozenset(), Silent(), quick)
    return result_findings(walk, settings, result, list(known_results(settings.roots)))


def gap(settings: Settings) -> KnownResult:
    return next(one for one in known_results(settings.roots) if one.kind == "gap")


def comparison(settings: Settings, **edits: Any) -> KnownResult:
    found = next(one for one in known_results(settings.roots) if one.kind == "comparison")
    return replace(found, content={**found.content, **edits})


@pytest.fixture(scope="module")
def chosen(whole: Settings) -> KnownResult:
    """The choice of the project, which need not lie there to be walked."""
    best = find_best_configuration(whole, read_project(whole.project), DATASET, with_postprocessing=False)
    file = comparison(whole).file.with_name("best_configuration.json")
    return KnownResult("best_configuration", DATASET, None, best.to_json(), file, is_current=True)


def of_source(findings: list[Finding]) -> list[tuple[Verdict, str]]:
    return [
        (one.verdict, one.sentence)
        for one in findings
        if one.level == "source" and "is what its folds" not in one.sentence
    ]


def said(findings: list[Finding], verdict: Verdict) -> list[str]:
    return [one.sentence for one in findings if one.verdict == verdict]


def test_a_gap_is_made_again_from_its_tables(whole: Settings) -> None:
    assert {one.verdict for one in walked(whole, gap(whole), quick=True)} == {"holds"}
    content = gap(whole).content
    edited = {**content, "gaps": [{**content["gaps"][0], "difference": 0.1}, *content["gaps"][1:]]}
    assert "Gaps[0].difference is 0.1, and should be 0.5." in said(
        walked(whole, replace(gap(whole), content=edited), quick=True), "changed"
    )


def test_a_gap_of_nobody_cannot_be_traced(whole: Settings) -> None:
    (finding,) = walked(whole, replace(gap(whole), experiment=None))
    assert finding.verdict == "unknown"


def test_a_gap_without_its_tables_cannot_be_made_again(project: Settings) -> None:
    exported_files(project)["cases.parquet"].unlink()
    assert "cannot be read any more" in said(walked(project, gap(project), quick=True), "unknown")[0]


def test_a_gap_without_its_evaluation_cannot_be_measured_again(project: Settings) -> None:
    exported_files(project)["test evaluation.json"].unlink()
    assert any(
        "is not there any more, so that the masks" in one for one in said(walked(project, gap(project)), "unknown")
    )


def other_mask(tested: Path, raw: Path) -> None:
    write_case(tested / "test_predictions" / "new_1.nii.gz", HIGHER)


def other_reference(tested: Path, raw: Path) -> None:
    write_case(raw / "labelsTs" / "new_1.nii.gz", HIGHER)


def other_image(tested: Path, raw: Path) -> None:
    write_case(raw / "imagesTs" / "new_1_0000.nii.gz", HIGHER)


def other_validation_mask(tested: Path, raw: Path) -> None:
    write_case(tested.parent / "fold_0" / "validation" / "a.nii.gz", HIGHER[::-1])


def other_checkpoint(tested: Path, raw: Path) -> None:
    (tested.parent / "fold_1" / "checkpoint_final.pth").write_bytes(b"x")


def other_raw_image(tested: Path, raw: Path) -> None:
    write_case(raw / "imagesTr" / "c_0000.nii.gz", HIGHER)


@pytest.mark.parametrize(
    ("change", "levels"),
    [
        (other_mask, {"masks"}),
        (other_reference, {"masks"}),
        (other_image, {"inputs"}),
        (other_validation_mask, {"masks"}),
        (other_checkpoint, {"checkpoints"}),
        (other_raw_image, {"inputs"}),
    ],
)
def test_whatever_a_gap_rests_on_is_read_again(
    project: Settings, change: Callable[[Path, Path], None], levels: set[Level]
) -> None:
    change(EXPERIMENT.summary_folder(project.roots), project.roots.raw / DATASET)
    findings = walked(project, gap(project))
    assert {one.level for one in findings if one.verdict == "changed"} == levels


def test_a_summary_and_an_evaluation_are_walked_as_what_they_are(whole: Settings) -> None:
    for kind, sentence in {"cv_summary": "is what its folds give", "evaluation": "The means of the evaluation"}.items():
        result = next(one for one in known_results(whole.roots) if one.kind == kind)
        assert any(sentence in one for one in said(walked(whole, result, quick=True), "holds"))


def test_a_comparison_is_what_its_summaries_give(whole: Settings) -> None:
    findings = walked(whole, comparison(whole), quick=True)
    assert {one.verdict for one in findings} == {"holds"}
    assert of_source(findings) == [
        ("holds", f"The comparison of {DATASET} is what its 2 summaries give: it was made again.")
    ]
    # Down to the folds of both experiments.
    names = {one.name_in_dataset for one in (EXPERIMENT, LONG)}
    assert {one.what.partition(" of ")[2] for one in findings if one.level == "scores"} == names
    # Who left what out is of then, and names what is there now.
    assert of_source(walked(whole, comparison(whole, left_out={"a": "It is gone."}), quick=True))[0][0] == "holds"


def test_an_edited_comparison_is_not_what_its_summaries_give(whole: Settings) -> None:
    findings = of_source(walked(whole, comparison(whole, standings=[]), quick=True))
    assert {verdict for verdict, _ in findings} == {"changed"}
    assert any(sentence.startswith("Standings is ") for _, sentence in findings)


def test_a_comparison_without_one_of_its_summaries_is_walked_down_the_other(whole: Settings) -> None:
    made_from = comparison(whole).content["made_from"]
    name = next(iter(made_from))
    findings = walked(whole, comparison(whole, made_from={**made_from, name: "0" * 64}), quick=True)
    sentence = f"The summary of {name} that the comparison of {DATASET} is of is not in this project, nor kept of it."
    assert of_source(findings) == [("unknown", sentence)]
    assert len([one for one in findings if one.level == "scores"]) == len(FOLDS)


def test_a_comparison_that_names_no_digests_is_of_the_current_summaries(whole: Settings) -> None:
    empty: tuple[Any, ...] = ({}, None)
    for made_from in empty:
        findings = walked(whole, comparison(whole, made_from=made_from), quick=True)
        assert {one.verdict for one in findings} == {"holds"}
    assert (
        of_source(walked(whole, comparison(whole, experiments=["a__b__c"], made_from={}), quick=True))[0][0]
        == "unknown"
    )


def test_a_comparison_of_a_summary_that_was_made_anew_holds_of_then(project: Settings) -> None:
    finish_fold(project.roots, EXPERIMENT, "fold_1", WHOLE, b"other")
    make_summary(project.roots, EXPERIMENT, FOLDS)
    # An older comparison names no digests: it is held against what lies there now.
    assert any(
        verdict == "changed" for verdict, _ in of_source(walked(project, comparison(project, made_from={}), quick=True))
    )
    first, second = of_source(walked(project, comparison(project), quick=True))[:2]
    assert (first[0], second[0]) == ("changed", "holds")
    assert "since then fold_1 was trained or validated again" in first[1]


@pytest.mark.parametrize(
    "edits",
    [
        {"experiments": 3},
        {"made_from": [1]},
        {"experiments": ["a"], "made_from": "no"},
    ],
)
def test_a_comparison_of_another_form_says_so(whole: Settings, edits: dict[str, Any]) -> None:
    ((verdict, sentence),) = of_source(walked(whole, comparison(whole, **edits)))
    assert (verdict, "is not as this package writes it" in sentence) == ("changed", True)


@pytest.mark.parametrize("edits", [{"left_out": 3}, {"left_out": "abc"}, {"repeats": 3}])
def test_a_comparison_whose_rest_has_another_form_cannot_be_made_again(whole: Settings, edits: dict[str, Any]) -> None:
    verdict, sentence = of_source(walked(whole, comparison(whole, **edits), quick=True))[0]
    assert (verdict, "cannot be made again from its summaries" in sentence) == ("unknown", True)


def test_what_an_older_version_made_by_other_rules_is_not_made_again(whole: Settings, chosen: KnownResult) -> None:
    for result in (comparison(whole), chosen):
        for version in (result.content["schema_version"] - 1, result.content["schema_version"] + 1):
            other = replace(result, content={**result.content, "schema_version": version})
            verdict, sentence = of_source(walked(whole, other, quick=True))[0]
            assert (verdict, "An older version made the" in sentence) == ("unknown", True)


def test_a_choice_is_what_its_summaries_give(whole: Settings, chosen: KnownResult) -> None:
    findings = walked(whole, chosen, quick=True)
    assert {one.verdict for one in findings} == {"holds"}
    assert of_source(findings)[0][1] == f"The choice of {DATASET} is what its 2 summaries give: it was made again."
    # Where it does not name them, its candidates do.
    bare = replace(chosen, content={**chosen.content, "made_of": {}})
    assert of_source(walked(whole, bare, quick=True))[0][0] == "holds"
    none = replace(chosen, content={**chosen.content, "made_of": {}, "candidates": []})
    assert "cannot be made again" in of_source(walked(whole, none, quick=True))[0][1]


def test_steps_of_a_choice_need_the_masks_as_they_were(project: Settings, chosen: KnownResult) -> None:
    names = [one["model"] for one in chosen.content["candidates"]]
    with_steps = replace(chosen, content={**chosen.content, "postprocessing": {name: [] for name in names}})
    verdict, sentence = of_source(walked(project, with_steps, quick=True))[0]
    assert (verdict, "masks are not read (--quick)" in sentence) == ("unknown", True)
    finish_fold(project.roots, EXPERIMENT, "fold_1", WHOLE, b"other")
    make_summary(project.roots, EXPERIMENT, FOLDS)
    said_of_it = [sentence for verdict, sentence in of_source(walked(project, with_steps)) if verdict == "unknown"]
    assert "are not there as they were then" in said_of_it[0]


def test_a_gap_names_folds_predictions_and_tables_that_are_others_now(project: Settings) -> None:
    content = gap(project).content
    other = replace(gap(project), content={**content, "folds": {**content["folds"], "fold_0": "0" * 64}})
    assert any("the one that was used is not" in one for one in said(walked(project, other, quick=True), "changed"))
    predicted_again = replace(gap(project), content={**content, "predictions": "0" * 64})
    sentence = f"The test set was predicted again since the gap of {gap(project).of} was made of it."
    assert sentence in said(walked(project, predicted_again, quick=True), "changed")
    assert not any("predicted again" in one for one in said(walked(project, gap(project), quick=True), "holds"))


def test_a_gap_that_holds_says_so_once(whole: Settings) -> None:
    found = [one for one in walked(whole, gap(whole), quick=True) if "is what the tables of test" in one.sentence]
    assert [(one.level, one.verdict) for one in found] == [("source", "holds")]


def test_an_evaluation_that_was_measured_anew_is_not_that_of_a_gap(whole: Settings) -> None:
    known = [replace(one, is_current=False) if one.kind == "evaluation" else one for one in known_results(whole.roots)]
    walk = Walk(whole.roots, frozenset(), Silent(), True)
    found = said(result_findings(walk, whole, gap(whole), known), "unknown")
    assert len([one for one in found if "so that the masks cannot be measured as they were" in one]) == 2
