"""Experiments by a metric of their evaluation: whose it is, and whose it must not be."""

from typing import Any

import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.comparison.evaluated_experiments import columns_of, evaluated_experiment, largest_diagonal_mm
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.errors import EvaluationError
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

FOLDS = ["fold_0", "fold_1"]
CONTENT = {"folds": FOLDS}


def summary() -> ScoredSummary:
    folds = [{"a": {"organ": 0.5}, "b": {"organ": 0.0}}, {"c": {"organ": 0.75}}]
    return summarize(
        EXPERIMENT, FOLDS, [build_fold_result(name, cases) for name, cases in zip(FOLDS, folds, strict=True)]
    )


def cases() -> dict[str, dict[str, dict[str, Any]]]:
    """What the table of cases says of them; b misses the organ, so that its HD95 is undefined."""
    hd95_mm = {"a": 4.0, "b": None, "c": 1.5}
    return {
        case.case_id: {name: {"dice": s.dice, "iou": s.iou, "hd95_mm": hd95_mm[case.case_id]} for name, s in found}
        for fold in summary().folds
        for case in fold.cases
        for found in [case.scores.items()]
    }


def test_it_has_the_metric_of_each_case_in_place_of_the_summarys_scores() -> None:
    assert columns_of("hd95_mm") == ["dice", "iou", "hd95_mm"]
    found = evaluated_experiment(summary(), CONTENT, cases(), "hd95_mm", diagonal_mm=300.0)
    # b misses the organ.
    assert found.scores == {"hd95_mm": {"organ": {"a": 4.0, "b": 300.0, "c": 1.5}}}
    plain = ComparedExperiment.of(summary())
    assert (found.name, found.splits_hash, found.validation) == (plain.name, plain.splits_hash, plain.validation)


def test_a_missed_object_in_an_image_of_unknown_size_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"misses or hallucinates an object in b, .* Materialize cv_evaluation"):
        evaluated_experiment(summary(), CONTENT, cases(), "hd95_mm")
    known = cases()
    known["b"]["organ"]["hd95_mm"] = 9.0
    found = evaluated_experiment(summary(), CONTENT, known, "hd95_mm")
    assert found.scores["hd95_mm"]["organ"]["b"] == 9.0


def test_the_largest_image_is_that_of_all_cases_whoever_knows_their_size() -> None:
    sized = {"a": {"organ": {DIAGONAL_MM: 100.0}}, "b": {"organ": {DIAGONAL_MM: 250.0}}}
    older = {"a": {"organ": {DIAGONAL_MM: None}}, "b": {"organ": {DIAGONAL_MM: None}}}
    assert largest_diagonal_mm([older, sized]) == 250.0
    assert largest_diagonal_mm([older]) is None
    assert largest_diagonal_mm([sized, {"c": {"organ": {}}}]) is None
    assert largest_diagonal_mm([]) is None


def test_an_evaluation_of_other_folds_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"is of fold_0, its summary of fold_0, fold_1\. Materialize cv_eval"):
        evaluated_experiment(summary(), {"folds": ["fold_0"]}, cases(), "hd95_mm")


def test_an_evaluation_that_lacks_a_case_is_refused() -> None:
    known = cases()
    del known["b"]
    with pytest.raises(EvaluationError, match=r"lacks 1 of 3 cases: b\. Its check every_case_is_evaluated says why"):
        evaluated_experiment(summary(), CONTENT, known, "hd95_mm")


def test_an_evaluation_of_predictions_that_were_made_anew_is_refused() -> None:
    known = cases()
    known["c"]["organ"]["dice"] = 0.5
    with pytest.raises(EvaluationError, match=r"case c scores organ dice 0\.500 instead of 0\.750\. Materialize"):
        evaluated_experiment(summary(), CONTENT, known, "hd95_mm")
