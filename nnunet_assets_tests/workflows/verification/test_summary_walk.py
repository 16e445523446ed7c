"""A summary made anew from its folds."""

import shutil
from typing import Any

import pytest

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.verification.findings import Finding
from nnunet_assets.core.verification.table_differences import CellDifference
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.verification.summary_walk import difference_findings, summary_findings
from nnunet_assets.workflows.verification.walk import Walk
from nnunet_assets_tests.verification_builders import EXPERIMENT, exported_files


def walked(settings: Settings, content: dict[str, Any]) -> list[Finding]:
    return summary_findings(Walk(settings.roots, frozenset(), Silent(), True), content, "The summary")


def content_of(settings: Settings) -> dict[str, Any]:
    content: dict[str, Any] = load_json(exported_files(settings)["cv_summary.json"])
    return content


def at_source(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.verdict, one.sentence) for one in findings if one.level == "source"]


def test_every_number_is_computed_again(whole: Settings) -> None:
    found = at_source(walked(whole, content_of(whole)))
    assert found == [("holds", "The summary is what its folds give: every number was computed again.")]


def edit_interval(content: dict[str, Any]) -> None:
    content["labels"]["organ"]["dice"]["pooled"]["interval"]["low"] -= 0.01


def edit_all_of_a_case(content: dict[str, Any]) -> None:
    content["folds"][0]["cases"]["a"]["organ"]["dice"] = 0.25


def edit_seconds(content: dict[str, Any]) -> None:
    content["folds"][1]["seconds"]["training"] = 1.0


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (edit_interval, "labels.organ.dice.pooled.interval.low"),
        (edit_all_of_a_case, "folds.fold_0.cases.a.organ.dice"),
        (edit_seconds, "folds.fold_1.seconds.training"),
    ],
)
def test_an_edited_number_is_named_by_its_place(whole: Settings, edit: Any, where: str) -> None:
    content = content_of(whole)
    edit(content)
    found = at_source(walked(whole, content))
    assert any(verdict == "changed" and where in sentence.lower() for verdict, sentence in found)


def test_where_a_fold_is_gone_the_others_are_compared(project: Settings) -> None:
    content = content_of(project)
    shutil.rmtree(EXPERIMENT.fold_folder(project.roots, "fold_1"))
    ((verdict, sentence),) = at_source(walked(project, content))
    assert verdict == "unknown"
    assert "Those of 1 of its folds cannot be read any more." in sentence
    edit_all_of_a_case(content)
    ((verdict, sentence),) = at_source(walked(project, content))
    assert verdict == "changed"
    assert "do not follow from its cases" in sentence


def test_a_summary_of_the_first_version_says_less_and_holds(whole: Settings) -> None:
    content = content_of(whole)
    content["schema"] = content.pop("schema_version") - 1
    for name in ("bootstrap", "patients", "worst_cases", "computing", "training_only"):
        del content[name]
    for label in (content["foreground"], *content["labels"].values()):
        for metric in label.values():
            for estimate in (metric["pooled"], metric["over_folds"], *metric["by_fold"].values()):
                for name in ("median", "q1", "q3", "interval"):
                    del estimate[name]
    for fold in content["folds"]:
        del fold["commit_sha256"], fold["gpu_hours"], fold["peak_memory_bytes"]
    assert [verdict for verdict, _ in at_source(walked(whole, content))] == ["holds"]


@pytest.mark.parametrize("content", [{"experiment": {}, "folds": [], "inputs": {}}, {"experiment": 3, "folds": 4}])
def test_what_is_no_summary_says_so(whole: Settings, content: dict[str, Any]) -> None:
    assert [one.verdict for one in walked(whole, content)] == ["changed"]


def test_many_differences_are_counted() -> None:
    found = list(difference_findings("file", "x", [CellDifference(str(number), "1", "2") for number in range(13)]))
    assert len(found) == 11
    assert found[-1].sentence == "3 more values of x are different."
