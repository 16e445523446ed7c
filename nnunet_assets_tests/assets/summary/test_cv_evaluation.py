"""cv_evaluation on folds that were committed as the fold process commits them, but never trained."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from nnunet_assets.assets.summary.cv_evaluation import EVALUATED_CHECK
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets_tests.assets.graphs import check, declared, failure, graph, materialized, metadata
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset001_Tiny"
CONFIG = ExperimentConfig(dataset=DATASET, configuration="2d")
EXPERIMENT = CONFIG.identity


def evaluated(
    project: Path, instance: dg.DagsterInstance, *names: str, tolerance_mm: float = 2.0
) -> dg.ExecuteInProcessResult:
    dataset = DatasetConfig(dataset=DATASET, folds=3, nsd_tolerance_mm={"organ": tolerance_mm})
    definitions = graph(declared([dataset], [CONFIG]))
    return materialized(definitions, *(names or ("cv_evaluation",)), folder=project, instance=instance)


@pytest.fixture
def roots(project: Path) -> Roots:
    """Two finished folds of three."""
    data = project / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    write_fold(roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    write_fold(roots, EXPERIMENT, "fold_2", {"c": HIGHER})
    return roots


def test_the_finished_folds_are_evaluated_and_shown(project: Path, instance: dg.DagsterInstance, roots: Roots) -> None:
    result = evaluated(project, instance)

    shown = metadata(result, "cv_evaluation")
    assert shown["headline"] == "3 of 3 cases, organ Dice 0.500 and HD95 5.000 mm, lesion Dice 0.500 and HD95 5.000 mm"
    assert shown["cases_computed"] == 3
    found = check(result, EVALUATED_CHECK)
    assert (found.passed, found.description) == (False, "Not finished: fold_1.")
    table = pq.read_table(EXPERIMENT.summary_folder(roots) / "evaluation" / "cases.parquet")
    assert table.num_rows == 6


def test_a_case_that_cannot_be_evaluated_is_named_by_a_check(
    project: Path, instance: dg.DagsterInstance, roots: Roots
) -> None:
    (EXPERIMENT.fold_folder(roots, "fold_2") / "validation" / "c.nii.gz").unlink()

    result = evaluated(project, instance)

    assert result.success
    found = check(result, EVALUATED_CHECK)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Case 'c' has no prediction" in str(found.description)


def test_six_cases_have_intervals(project: Path, instance: dg.DagsterInstance, roots: Roots) -> None:
    write_fold(roots, EXPERIMENT, "fold_2", dict.fromkeys("cdef", HIGHER))
    shown: dict[str, Any] = metadata(evaluated(project, instance), "cv_evaluation")
    records = [record.data for record in shown["intervals"].records]
    assert [record["HD95 [mm], where both have it"] for record in records] == ["none"] * 2
    assert all(re.fullmatch(r"0\.\d{3} to 0\.\d{3}", record["Dice"]) for record in records)
    assert "Bayesian bootstrap of 6 cases" in shown["notes"]


def test_it_comes_after_summary_and_tables_and_does_not_hold_them_up(
    project: Path, instance: dg.DagsterInstance, roots: Roots
) -> None:
    result = evaluated(project, instance, "cv_summary", "cv_tables", "cv_evaluation")

    assert result.success
    order = [str(event.node_name).rsplit("__", 1)[-1] for event in result.all_events if event.is_step_start]
    assert order == ["cv_summary", "cv_tables", "cv_evaluation"]


def test_without_a_finished_fold_it_says_what_to_train(project: Path, instance: dg.DagsterInstance) -> None:
    assert "Train at least one of fold_0, fold_1, fold_2." in failure(evaluated(project, instance))
