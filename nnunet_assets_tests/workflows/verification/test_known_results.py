"""The results of a project, now and before."""

from collections import Counter

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
