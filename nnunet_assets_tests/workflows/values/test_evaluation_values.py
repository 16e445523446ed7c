"""The values of evaluations: which files they know; what fills them is tried with the assets."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.errors import EvaluationError
from nnunet_assets.nnunet.predictions import prediction
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.workflows.values.evaluation_values import (
    CaseEvaluation,
    TestPredictions,
    read_case_evaluation,
    read_test_predictions,
)
from nnunet_assets_tests.raw_builders import tiny_json, write_json

OF = Experiment("Dataset004_Hippocampus", "2d")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")


def test_rows_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    found = CaseEvaluation(tmp_path, {"labels": None})
    assert dict(found.labels) == {}
    rows: Any = [{"case": "a", "label": "organ", "dice": 0.5}, {"case": "a", "label": "lesion", "dice": None}]
    write_case_table(rows, {"case": str, "label": str, "dice": float}, found.table, tmp_path / "cases.csv")
    assert found.rows() == rows


def test_a_mask_lies_under_the_name_of_its_case(tmp_path: Path) -> None:
    assert TestPredictions(tmp_path, ("new",), ".nii.gz").mask("new") == tmp_path / "new.nii.gz"


def test_what_nobody_predicted_or_trained_is_refused(roots: Roots) -> None:
    with pytest.raises(EvaluationError, match=r"has no whole test set\. Materialize test_predictions first\."):
        read_test_predictions(roots, OF)
    with pytest.raises(EvaluationError, match="Materialize cv_evaluation first"):
        read_case_evaluation(roots.results, "cv_evaluation")


def test_an_evaluation_without_its_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(EvaluationError, match=r"cases\.parquet is missing\. Materialize cv_evaluation first\."):
        read_case_evaluation(tmp_path, "cv_evaluation")


def test_predictions_of_a_test_set_are_read_with_what_was_measured_of_them(
    roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SimpleNamespace(folder=tmp_path, predicted=lambda: {"b": "2", "a": "1"})
    monkeypatch.setattr(prediction, "predictions_of", lambda _experiment, _roots, _ending: store)
    write_json(tmp_path / "dataset.json", tiny_json())
    assert read_test_predictions(roots, OF) == TestPredictions(tmp_path, ("a", "b"), ".nii.gz")
    tested = OF.summary_folder(roots) / "test_evaluation"
    write_json(tested / "gap.json", {"schema": 1, "folds": {"fold_0": "sha"}, "gaps": []})
    with pytest.raises(EvaluationError, match=r"evaluation\.json.* Materialize test_predictions"):
        read_test_predictions(roots, OF)
    write_json(tested / "evaluation.json", {"labels": {"organ": 1}})
    (tested / "cases.parquet").touch()
    found = read_test_predictions(roots, OF)
    assert found.evaluation == CaseEvaluation(tested, {"labels": {"organ": 1}})
    assert (found.cases, found.gaps, dict(found.evaluation.labels)) == (("a", "b"), (), {"organ": 1})
    # An older version compared otherwise.
    write_json(tested / "gap.json", {"schema": 0})
    assert read_test_predictions(roots, OF).gaps == ()
