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


@pytest.mark.parametrize(("n", "n_named", "rest"), [(0, 0, 0), (1, 1, 0), (10, 10, 0), (11, 10, 1), (13, 10, 3)])
def test_ten_differences_are_named_and_the_others_counted(n: int, n_named: int, rest: int) -> None:
    found = list(difference_findings("source", "it", [CellDifference(f"place {k}", "1", "2") for k in range(n)]))
    assert [one.what for one in found[:n_named]] == [f"it: place {k}" for k in range(n_named)]
    assert [one.sentence for one in found[n_named:]] == [f"{rest} more values of it are different."] * (rest > 0)
    assert all((one.level, one.verdict) == ("source", "changed") for one in found)
    if n:
        assert found[0].sentence == "Place 0 is 1, and should be 2."


def test_what_older_versions_did_not_write_is_no_difference(whole: Settings) -> None:
    content = content_of(whole)
    for name in ("patients", "bootstrap", "worst_cases", "training_only", "gpu_hours"):
        content.pop(name, None)
    for fold in content["folds"]:
        for name in ("commit_sha256", "gpu_hours", "peak_memory_bytes"):
            fold.pop(name, None)
    for metric in ("dice", "iou"):
        for label in (content["foreground"], *content["labels"].values()):
            for name in ("q1", "q3", "median", "interval"):
                label[metric]["pooled"].pop(name, None)
    assert at_source(walked(whole, content))[0][0] == "holds"
    content["labels"]["organ"]["dice"]["pooled"].pop("mean")
    assert "mean is missing" in at_source(walked(whole, content))[0][1]


@pytest.mark.parametrize(
    "edit", [{"experiment": 3}, {"experiment": {}}, {"folds": 3}, {"folds": [3]}, {"inputs": {}}, {"folds": [{}]}]
)
def test_a_summary_of_another_form_says_so(whole: Settings, edit: dict[str, Any]) -> None:
    ((verdict, sentence),) = at_source(walked(whole, {**content_of(whole), **edit}))
    assert (verdict, "The summary is not as this package writes it" in sentence) == ("changed", True)


def test_folds_that_must_not_be_averaged_are_said(whole: Settings) -> None:
    found = at_source(walked(whole, {**content_of(whole), "expected_folds": ["fold_0"]}))
    assert found[0][0] == "changed"


def test_cases_that_train_alone_and_patients_are_taken_as_they_are_written(whole: Settings) -> None:
    content = content_of(whole)
    alone = {**content, "training_only": ["x", "y"]}
    assert at_source(walked(whole, alone)) == at_source(walked(whole, content))
    assert content["bootstrap"] is not None
    without = {**content, "bootstrap": None}
    assert {verdict for verdict, _ in at_source(walked(whole, without))} == {"changed"}


def test_masks_are_looked_at_once_for_all_summaries_of_the_same_folds(whole: Settings) -> None:
    walk = Walk(whole.roots, frozenset(), Silent(), False)
    first = summary_findings(walk, content_of(whole), "The summary")
    assert {one.level for one in first} == {"source", "scores", "masks", "checkpoints", "inputs"}
    looked_at = dict(walk.done)
    again = summary_findings(walk, content_of(whole), "Another")
    assert [one for one in again if one.level == "masks"] == [one for one in first if one.level == "masks"]
    assert {key: id(value) for key, value in walk.done.items()} == {key: id(value) for key, value in looked_at.items()}
    quick = Walk(whole.roots, frozenset(), Silent(), True)
    assert "masks" not in {one.level for one in summary_findings(quick, content_of(whole), "The summary")}
