"""test_predictions on folds that were committed as the fold process commits them, but never trained.

In place of the child that predicts stands one that writes the images of the request to where they belong: all but the
network is real.
"""

import json
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from nnunet_assets.assets.summary.cv_evaluation import EVALUATED_CHECK
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.nnunet.predictions import cases_run
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.graphs import check, declared, graph, materialized, metadata
from nnunet_assets_tests.prediction_builders import (
    CONFIG,
    DATASET,
    EXPERIMENT,
    PredictingChild,
    write_folds,
    write_test_set,
)
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def roots(project: Path) -> Roots:
    """Both folds, which score Dice 0.5 in each of 3 validation cases, and a test set of 2 cases."""
    roots = Settings.from_environment(project, {}).roots
    write_folds(roots)
    write_test_set(roots)
    return roots


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> PredictingChild:
    child = PredictingChild()
    monkeypatch.setattr(cases_run, "run_child", child)
    return child


def predict(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    definitions = graph(declared([DatasetConfig(dataset=DATASET)], [CONFIG]))
    return materialized(definitions, *(names or ("test_predictions",)), folder=project, instance=instance)


def test_all_folds_predict_together_and_the_gap_is_shown(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: PredictingChild
) -> None:
    result = predict(project, instance)

    (request,) = child.requests
    assert request.device == "cpu"
    shown = metadata(result, "test_predictions")
    assert shown["headline"] == "Dice 1.000 on the test set, 0.500 in the cross-validation (+0.500)"
    assert (shown["cases"], shown["cases_predicted"], shown["device"]) == (2, 2, "a fast GPU")
    assert check(result, EVALUATED_CHECK).passed
    folder = EXPERIMENT.summary_folder(roots)
    assert sorted(path.name for path in (folder / "test_predictions").glob("*.nii.gz")) == [
        "new_1.nii.gz",
        "new_2.nii.gz",
    ]
    assert pq.read_table(folder / "test_evaluation" / "cases.parquet").num_rows == 4
    gaps = {
        (gap["label"], gap["metric"]): gap
        for gap in json.loads((folder / "test_evaluation" / "gap.json").read_text())["gaps"]
    }
    organ = gaps["organ", "dice"]
    assert (organ["difference"], organ["test"]["n"], organ["cross_validation"]["n"]) == (0.5, 2, 3)
    assert gaps["lesion", "hd95_mm"]["difference"] == -5.0
    assert (folder / "test_evaluation" / "gap.csv").read_text().startswith("level,label,metric,difference")


def test_without_references_nothing_fails_and_that_is_said(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: PredictingChild
) -> None:
    for path in (roots.raw / DATASET / "labelsTs").iterdir():
        path.unlink()

    result = predict(project, instance)

    shown = metadata(result, "test_predictions")
    assert shown["headline"] == "The test set has no references (labelsTs): it is predicted, and not evaluated."
    assert "gap" not in shown
    assert check(result, EVALUATED_CHECK).passed


def test_mlflow_has_a_run_of_the_test_set_beside_that_of_the_summary(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: PredictingChild
) -> None:
    assert predict(project, instance, "test_predictions", "cv_summary").success

    settings = Settings.from_environment(project, {})
    client = connect(Destination.of(settings))
    (experiment,) = [one for one in client.search_experiments() if one.name == DATASET]
    runs = {run.data.tags["nnunet_assets.run_type"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"cv_summary", "test_set"}
    metrics = runs["test_set"].data.metrics
    assert metrics["test_cases"] == 2
    assert (metrics["test_dice_mean"], metrics["test_dice_gap"], metrics["test_dice_gap/organ"]) == (1.0, 0.5, 0.5)
    assert metrics["test_hd95_mm_gap/lesion"] == -5.0
    assert runs["test_set"].data.tags["nnunet_assets.folds"] == "fold_0,fold_1"
    assert {file.path for file in client.list_artifacts(runs["test_set"].info.run_id)} == {"gap.csv", "gap.json"}


def test_it_comes_last_in_a_run_with_the_summary_but_for_the_report_which_shows_the_gap(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: PredictingChild
) -> None:
    names = ("test_predictions", "cv_evaluation", "cv_report", "cv_summary", "cv_tables")
    result = predict(project, instance, *names)
    order = [str(event.node_name).rsplit("__", 1)[-1] for event in result.all_events if event.is_step_start]
    assert order == ["cv_summary", "cv_tables", "cv_evaluation", "test_predictions", "cv_report"]
    report = EXPERIMENT.summary_folder(roots) / "cv_report.html"
    assert "Dice 1.000 on the test set, 0.500 in the cross-validation (+0.500)" in report.read_text()


def test_a_report_does_not_show_the_gap_of_other_folds_and_is_made_where_folds_are_missing(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: PredictingChild
) -> None:
    assert predict(project, instance).success
    (EXPERIMENT.fold_folder(roots, "fold_1") / ".nnunet_assets" / "COMMIT").unlink()
    report = EXPERIMENT.summary_folder(roots) / "cv_report.html"

    predict(project, instance, "test_predictions", "cv_evaluation", "cv_report", "cv_summary")

    assert "Not complete: fold_1 missing." in report.read_text()
    assert "on the test set" not in report.read_text()
