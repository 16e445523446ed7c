"""The results of a project, now and before."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets.workflows.verification.known_results import KnownResult, experiment_named, kind_of, known_results
from nnunet_assets_tests.verification_builders import DATASET, EXPERIMENT, FOLDS, LONG, WHOLE, finish_fold


def test_all_of_them_are_found_with_the_name_that_seals_have(whole: Settings) -> None:
    found = list(known_results(whole.roots))
    assert Counter(one.kind for one in found) == {"cv_summary": 2, "comparison": 1, "evaluation": 2, "gap": 1}
    assert {one.of for one in found} == {DATASET, "/".join(EXPERIMENT.key_prefix), "/".join(LONG.key_prefix)}
    assert all(kind_of(one.content) == one.kind for one in found)
    assert list(known_results(whole.roots, "Dataset002_Other")) == []


def test_an_earlier_one_comes_after_the_one_that_lies_there(project: Settings) -> None:
    finish_fold(project.roots, EXPERIMENT, "fold_0", WHOLE, b"other")
    make_summary(project.roots, EXPERIMENT, FOLDS)
    found = [one for one in known_results(project.roots) if one.experiment == EXPERIMENT and one.kind == "cv_summary"]
    assert [one.is_current for one in found] == [True, False]
    assert found[0].subject == f"The summary of {found[0].of}"
    assert found[1].title == f"an earlier summary of {found[0].of}"


def test_a_damaged_one_has_no_exports(whole: Settings) -> None:
    (known,) = [one for one in known_results(whole.roots) if one.kind == "comparison"]
    broken = KnownResult("comparison", known.of, None, {**known.content, "standings": 3}, known.file, True)
    assert set(known.exports) == {
        *(f"comparison_table.{ending}" for ending in ("csv", "tex", "md", "parquet")),
        *("comparison_differences.csv", "comparison_ranks.csv", "comparison.md"),
    }
    assert broken.exports == {}


@pytest.mark.parametrize(
    "experiment",
    [EXPERIMENT, LONG, Experiment("Dataset002_B", "3d_fullres", "T", "P", "v"), Experiment.ensemble(DATASET, "both")],
)
def test_an_experiment_is_known_by_its_name(experiment: Experiment) -> None:
    assert experiment_named("/".join(experiment.key_prefix)) == experiment
    assert experiment_named(experiment.name_in_dataset, experiment.dataset) == experiment


@pytest.mark.parametrize("name", ["", "a", "a/b", "a/b/c/d__e__f", "a/T__P"])
def test_any_other_name_is_none(name: str) -> None:
    assert experiment_named(name) is None


def test_any_other_content_is_no_result() -> None:
    assert kind_of({}) is None


@pytest.mark.parametrize(
    "name", ["a/T__P", "a/T__P__c__d", "a/v/x/T__P__c", "T__P__c", f"{DATASET}/ensembles", f"{DATASET}/ensembles/a/b"]
)
def test_a_name_of_more_or_fewer_parts_is_none(name: str) -> None:
    assert experiment_named(name) is None


def test_a_kind_needs_each_of_its_names_and_no_others() -> None:
    marks: dict[str, tuple[str, ...]] = {
        "cv_summary": ("experiment", "expected_folds", "folds"),
        "comparison": ("experiments", "differences", "standings"),
        "best_configuration": ("candidates", "chosen", "expected"),
        "evaluation": ("policy_digest", "labels", "subject"),
        "gap": ("gaps", "predictions", "folds"),
    }
    for kind, names in marks.items():
        assert kind_of({**dict.fromkeys(names, 0), "more": 1}) == kind
        assert all(kind_of(dict.fromkeys(set(names) - {name}, 0)) is None for name in names)


def test_every_kind_is_called_what_people_call_it(whole: Settings) -> None:
    titles = {one.kind: one.title for one in known_results(whole.roots) if not one.is_of_test_set}
    of = "/".join(EXPERIMENT.key_prefix)
    assert {kind: title.removesuffix(of).removesuffix("/".join(LONG.key_prefix)) for kind, title in titles.items()} == {
        "cv_summary": "the summary of ",
        "evaluation": "the evaluation of ",
        "gap": "the gap of ",
        "comparison": f"the comparison of {DATASET}",
    }
    (tested,) = [one for one in known_results(whole.roots) if one.is_of_test_set]
    assert tested.title == f"the evaluation of {of} on the test set"
    assert tested.subject == f"The evaluation of {of} on the test set"
    assert not replace(tested, kind="gap").is_of_test_set


def test_an_evaluation_is_exported_with_its_tables_of_cases_as_long_as_it_lies_there(whole: Settings) -> None:
    known = next(one for one in known_results(whole.roots) if one.kind == "evaluation" and not one.is_of_test_set)
    earlier = replace(known, is_current=False)
    assert set(known.exports) - set(earlier.exports) == {"cases.csv", "cases.parquet"}
    assert known.exports["cases.csv"]() == known.file.with_name("cases.csv").read_bytes()
    assert set(earlier.exports) >= {"labels.csv", "labels.tex", "labels.md"}
    elsewhere = replace(known, file=known.file.parent.parent / known.file.name)
    assert set(elsewhere.exports) == set(earlier.exports)


def test_every_result_has_the_tables_of_its_kind(whole: Settings) -> None:
    exports = {one.kind: set(one.exports) for one in known_results(whole.roots)}
    assert exports["cv_summary"] >= {"cv_table.csv", "cv_table.tex", "cv_table.md", "cv_table.parquet", "cv_cases.csv"}
    assert exports["gap"] == {"gap.csv"}


@pytest.mark.parametrize("edit", [{"labels": 3}, {"folds": 3}, {"experiment": {}}, {"experiment": "a"}])
def test_a_summary_of_another_form_has_no_exports(whole: Settings, edit: dict[str, Any]) -> None:
    known = next(one for one in known_results(whole.roots) if one.kind == "cv_summary")
    assert replace(known, content={**known.content, **edit}).exports == {}


def test_results_of_other_datasets_are_left_out_and_the_next_are_found(project: Settings) -> None:
    other = Experiment("Dataset000_Before", "2d")
    finish_fold(project.roots, replace(EXPERIMENT, dataset=DATASET), "fold_0")
    (other.model_folder(project.roots) / "fold_0").mkdir(parents=True)
    assert {one.of.partition("/")[0] for one in known_results(project.roots, DATASET)} == {DATASET}


def test_an_earlier_result_that_is_no_object_is_none(project: Settings) -> None:
    known = next(one for one in known_results(project.roots) if one.kind == "gap")
    folder = known.file.parent / "earlier"
    folder.mkdir(exist_ok=True)
    n = len(list(known_results(project.roots)))
    known.file.write_text("{")
    assert len(list(known_results(project.roots))) == n - 1
