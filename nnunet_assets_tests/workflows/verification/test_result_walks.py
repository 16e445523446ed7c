"""Gaps, down to the masks of test and validation cases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding, Level, Verdict
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.known_results import KnownResult, known_results
from nnunet_assets.workflows.verification.result_walks import result_findings
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.evaluation_builders import HIGHER, write_case
from nnunet_assets_tests.verification_builders import DATASET, EXPERIMENT, exported_files


def walked(settings: Settings, result: KnownResult, *, quick: bool = False) -> list[Finding]:
    walk = Walk(settings.roots, frozenset(), Silent(), quick)
    return result_findings(walk, settings, result, list(known_results(settings.roots)))


def gap(settings: Settings) -> KnownResult:
    return next(one for one in known_results(settings.roots) if one.kind == "gap")


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
