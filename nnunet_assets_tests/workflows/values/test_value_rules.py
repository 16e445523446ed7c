"""Each rule passes over what is as it should be, and names what is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.report import SearchReport, TrialReport
from nnunet_assets.core.search.trial_files import Trial
from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.workflows.values import value_rules
from nnunet_assets.workflows.values.evaluation_values import CaseEvaluation, TestPredictions
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result, build_manifest

SCORED = build_fold_result("fold_0", {"a": {"organ": 0.9}, "b": {"organ": None}})
FOLD = FoldResult.of(SCORED)
SCORES = summarize(EXPERIMENT, ["fold_0"], [SCORED])
SUMMARY = CVSummary.of(SCORES)
RAW = RawRecord("ab", ("a", "b"), voxels_checked=True, label_volumes_ml={"a": {"organ": 3.5}})
TRIAL = TrialReport(Trial(0, {"lr": 0.1}, 0), "s_000", Curve({3: 0.5}, 3))
SEARCH = SearchReport("Dataset004_H", "s", "search s", "fold_0", 1, 3, [], ["lr"], [TRIAL])
SPLIT = [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]


def with_score(dice: float) -> Any:
    case = replace(FOLD.cases[0], scores={"organ": LabelScore(dice, 0.5)})
    return FoldResult.of(replace(SCORED, cases=(case, FOLD.cases[1])))


@pytest.mark.parametrize(
    ("rule", "good", "bad", "problem"),
    [
        (
            value_rules.problem_of_search,
            SEARCH,
            replace(SEARCH, max_epochs=2),
            "search s: trial 0 has more than 2 epochs.",
        ),
        (
            value_rules.problem_of_search,
            SEARCH,
            replace(SEARCH, trials=[TRIAL, TRIAL]),
            "search s: its trials are not numbered",
        ),
        (value_rules.problem_of_cases, ["a", "b"], [], "There is no case."),
        (value_rules.problem_of_cases, ["a"], ["a", "b", "a"], "a: more than once among the cases."),
        (value_rules.problem_of_raw, RAW, replace(RAW, case_hashes={"c": "1"}), "c: known, and no case."),
        (value_rules.problem_of_raw, RAW, replace(RAW, cases=()), "There is no case."),
        (value_rules.problem_of_splits, SPLIT, [{"train": ["a"]}], "A split is not a list of folds"),
        (value_rules.problem_of_splits, SPLIT, [], "A split is not a list of folds"),
        (value_rules.problem_of_splits, SPLIT, [{"train": ["a"], "val": ["a"]}], "a: a fold trains on it"),
        (value_rules.problem_of_fold, FOLD, with_score(1.1), "fold_0: dice 1.1 of organ in a: a score lies between"),
        (value_rules.problem_of_fold, FOLD, with_score(float("nan")), "fold_0: dice nan of organ in a"),
        (value_rules.problem_of_folds, {"fold_0": FOLD}, {}, "There is no fold."),
        (value_rules.problem_of_folds, {"fold_0": FOLD}, {"fold_0": with_score(-1)}, "fold_0: fold_0: dice -1"),
        (
            value_rules.problem_of_summary,
            SUMMARY,
            replace(SUMMARY, fold_results={0: with_score(2)}),
            "fold_0: fold_0: dice 2",
        ),
        (value_rules.problem_of_summaries, {}, {"pair": replace(SUMMARY, fold_results={})}, "pair: There is no fold."),
        (value_rules.problem_of_files, {"csv": Path(__file__)}, {}, "There is no file."),
        (value_rules.problem_of_page, Path(__file__), Path("/nowhere"), "/nowhere: not there, or empty."),
    ],
)
def test_a_mistake_is_named(rule: Any, good: object, bad: object, problem: str) -> None:
    assert rule(good) == ""
    assert rule(bad).startswith(problem)


def test_a_mean_beyond_its_bounds_is_named() -> None:
    organ = SUMMARY.labels["organ"]
    wrong = replace(organ, iou=replace(organ.iou, pooled=replace(organ.iou.pooled, mean=1.5)))
    summary = CVSummary.of(replace(SCORES, labels={"organ": wrong}))
    assert value_rules.problem_of_summary(summary).startswith("The mean iou of organ")


def test_a_model_whose_files_are_gone_is_named(tmp_path: Path) -> None:
    manifest = replace(build_manifest(tmp_path), files={"checkpoint_final.pth": "ab"})
    fold = FinishedFold(tmp_path, manifest, "cd", 0)
    assert value_rules.problem_of_finished(fold) == f"{tmp_path} lacks checkpoint_final.pth."
    (tmp_path / "checkpoint_final.pth").touch()
    assert value_rules.problem_of_finished(fold) == ""


def test_plans_of_nothing_are_named() -> None:
    empty = Plans(Path("/data/nnUNetPlans.json"), {"configurations": {}})
    assert value_rules.problem_of_plans(empty) == "/data/nnUNetPlans.json plans no configuration."


def test_masks_and_tables_that_are_gone_are_named(tmp_path: Path) -> None:
    predicted = TestPredictions(tmp_path, ("new",), ".nii.gz")
    assert value_rules.problem_of_test_predictions(predicted) == f"{tmp_path / 'new.nii.gz'}: not there, or empty."
    counted = CaseEvaluation(tmp_path, {"n_evaluated": 3, "n_expected": 2})
    assert value_rules.problem_of_evaluation(counted) == "3 of 2 cases are evaluated."
    fewer = replace(counted, content={"n_evaluated": 1, "n_expected": 2})
    assert value_rules.problem_of_evaluation(fewer).endswith("cases.parquet: not there, or empty.")


class TestNamesOfOthers:
    def test_a_comparison_of_what_it_does_not_compare(self) -> None:
        difference = type("Difference", (), {"left": "one", "right": "three"})
        found: Any = type(
            "Comparison", (), {"differences": (difference,), "standings": (), "experiments": ("one", "two")}
        )
        assert value_rules.problem_of_comparison(found) == "three: not compared."
        found.differences = ()
        assert value_rules.problem_of_comparison(found) == ""

    def test_a_choice_of_what_is_no_candidate(self) -> None:
        candidate = type("Candidate", (), {"name": "2d"})
        found: Any = type("Best", (), {"chosen": "3d", "candidates": (candidate,)})
        assert value_rules.problem_of_choice(found) == "3d: not a candidate."
        found.chosen = "2d"
        assert value_rules.problem_of_choice(found) == ""
        assert value_rules.problem_of_choice(None) == ""

    def test_a_version_without_a_package(self) -> None:
        version: Any = type("Version", (), {"digest": "", "version": 2, "address": "models:/Liver/2"})
        assert value_rules.problem_of_version(version) == "models:/Liver/2 names no package."
