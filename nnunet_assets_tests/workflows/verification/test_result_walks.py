"""Evaluations and gaps, down to the masks."""

from dataclasses import replace
from typing import Any

import pytest

from nnunet_assets.core.evaluation.gap import GAP_COLUMNS, find_gaps, gaps_to_json
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.reports.tables.case_table import read_case_names, read_metrics
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.known_results import KnownResult, known_results
from nnunet_assets.workflows.verification.recorded_folds import recorded_fold
from nnunet_assets.workflows.verification.result_walks import result_findings
from nnunet_assets.workflows.verification.summary_walk import Walk
from nnunet_assets_tests.evaluation_builders import REFERENCE, write_case
from nnunet_assets_tests.verification_builders import EXPERIMENT, FOLDS, exported_files


def walked(settings: Settings, result: KnownResult, *, quick: bool = False) -> list[Finding]:
    walk = Walk(settings.roots, frozenset(), Silent(), quick, {})
    return result_findings(walk, settings, result, list(known_results(settings.roots)))


def evaluation(settings: Settings) -> KnownResult:
    return next(one for one in known_results(settings.roots) if one.kind == "evaluation")


def said(findings: list[Finding], verdict: str) -> list[str]:
    return [one.sentence for one in findings if one.verdict == verdict]


def test_an_evaluation_is_measured_again(project: Settings) -> None:
    (finding,) = walked(project, evaluation(project))
    assert finding.verdict == "holds"
    assert "The masks of 2 folds were measured again" in finding.sentence
    assert walked(project, evaluation(project), quick=True) == []

    content = dict(evaluation(project).content)
    labels = {**content["labels"], "organ": {**content["labels"]["organ"], "n_cases": 9}}
    edited = replace(evaluation(project), content={**content, "labels": labels})
    assert "Labels.organ.n_cases is 9, and should be 8." in said(walked(project, edited), "changed")

    table = exported_files(project)["cases.csv"]
    table.write_text(table.read_text().replace(",0.5,", ",0.4,", 1))
    assert any("is 0.4, and should be 0.5." in one for one in said(walked(project, evaluation(project)), "changed"))


def test_another_mask_gives_other_distances(project: Settings) -> None:
    write_case(EXPERIMENT.fold_folder(project.roots, "fold_0") / "validation" / "a.nii.gz", REFERENCE)
    assert len(said(walked(project, evaluation(project)), "changed")) > 1


def test_an_evaluation_of_plain_folders_cannot_be_traced(whole: Settings) -> None:
    known = evaluation(whole)
    (finding,) = walked(whole, replace(known, content={**known.content, "folds": []}))
    assert finding.verdict == "unknown"


@pytest.fixture
def gap(project: Settings) -> KnownResult:
    """The validation cases, taken for a test set too."""
    table = exported_files(project)["cases.parquet"]
    values = read_metrics(table, GAP_COLUMNS)
    commits = {fold: recorded_fold(project.roots, EXPERIMENT, fold, None).finished.sha256 for fold in FOLDS}
    content: dict[str, Any] = gaps_to_json(find_gaps(values, values, read_case_names(table)), "digest", commits)
    return KnownResult("gap", "it", EXPERIMENT, content, table.with_name("gap.json"), True)


def test_a_gap_is_made_again_from_its_tables(project: Settings, gap: KnownResult) -> None:
    findings = walked(project, gap)
    assert [one.verdict for one in findings] == ["holds"] * 3
    edited = {**gap.content, "gaps": [{**gap.content["gaps"][0], "difference": 0.1}, *gap.content["gaps"][1:]]}
    assert "Gaps[0].difference is 0.1, and should be 0.0." in said(
        walked(project, replace(gap, content=edited)), "changed"
    )
    exported_files(project)["cases.parquet"].unlink()
    assert len(said(walked(project, gap), "unknown")) == 1


def test_a_gap_of_nobody_cannot_be_traced(project: Settings, gap: KnownResult) -> None:
    (finding,) = walked(project, replace(gap, experiment=None))
    assert finding.verdict == "unknown"
