"""test_predictions on folds that were committed as the fold process commits them, but never trained.

In place of the child that predicts stands one that writes the images of the request to where they belong: all but the
network is real.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from nnunet_assets.assets.summary.cv_evaluation import EVALUATED_CHECK
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.predictions import prediction
from nnunet_assets.nnunet.predictions.checked_test_set import CaseToPredict, CheckedTestSet
from nnunet_assets.nnunet.predictions.ensemble import finished_ensemble
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.graphs import check, declared, failure, graph, materialized, metadata
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_case, write_fold
from nnunet_assets_tests.raw_builders import write_json
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.training_builders import roots_in

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset001_Tiny"
CONFIG = ExperimentConfig(dataset=DATASET, configuration="2d", folds=[0, 1], device="cpu", test_set=True)
EXPERIMENT = CONFIG.identity
PLANS = {"plans_name": "nnUNetPlans"}
MADE = replace(INPUTS, plans_hash=json_sha256(PLANS))


@pytest.fixture
def roots(project: Path) -> Roots:
    """Both folds, which score Dice 0.5 in each of 3 validation cases, and a test set of 2 cases."""
    data = project / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    write_fold(roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER}, inputs=MADE)
    write_fold(roots, EXPERIMENT, "fold_1", {"c": HIGHER}, inputs=MADE)
    for fold in ("fold_0", "fold_1"):
        (EXPERIMENT.fold_folder(roots, fold) / "checkpoint_final.pth").write_text(f"weights of {fold}")
    write_json(EXPERIMENT.model_folder(roots) / "plans.json", PLANS)
    for case in ("new_1", "new_2"):
        write_case(raw(roots) / "imagesTs" / f"{case}_0000.nii.gz", REFERENCE)
        write_case(raw(roots) / "labelsTs" / f"{case}.nii.gz", REFERENCE)
    return roots


class Child:
    """Predicts of each case its image; it dies after as many cases as it is told to."""

    def __init__(self) -> None:
        self.requests: list[Mapping[str, Any]] = []
        self.dies_after: int | None = None

    def __call__(self, module: str, request: Mapping[str, Any], **_: Any) -> ChildResult:
        assert module == "nnunet_assets.nnunet.predictions.prediction_process"
        self.requests.append(request)
        for number, case in enumerate(request["cases"]):
            if number == self.dies_after:
                return ChildResult(ExitCode.BUG, "The process failed unexpectedly: RuntimeError.", "the end")
            Path(case["file"]).write_bytes(Path(case["images"][0]).read_bytes())
        write_json(Path(request["work_folder"]) / "device.json", {"device": "a fast GPU"})
        return ChildResult(ExitCode.DONE, None, "")

    @property
    def predicted(self) -> list[list[str]]:
        return [[case["case"] for case in request["cases"]] for request in self.requests]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    child = Child()
    monkeypatch.setattr(prediction, "run_child", child)
    return child


def raw(roots: Roots) -> Path:
    return roots.raw / DATASET


def predict(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    definitions = graph(declared([DatasetConfig(dataset=DATASET)], [CONFIG]))
    return materialized(definitions, *(names or ("test_predictions",)), folder=project, instance=instance)


def version(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_asset_materialization_events()
    return str((event.materialization.tags or {})["dagster/data_version"])


def test_all_folds_predict_together_and_the_gap_is_shown(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    result = predict(project, instance)

    (request,) = child.requests
    assert (request["folds"], request["checkpoint"], request["device"]) == ([0, 1], "checkpoint_final.pth", "cpu")
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


def test_mlflow_has_a_run_of_the_test_set_beside_that_of_the_summary(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
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


def test_the_same_folds_and_images_are_not_predicted_again(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    first, second = predict(project, instance), predict(project, instance)

    assert len(child.requests) == 1
    assert metadata(second, "test_predictions")["cases_predicted"] == 0
    assert version(first) == version(second)
    write_case(raw(roots) / "imagesTs" / "new_2_0000.nii.gz", HIGHER)
    assert version(predict(project, instance)) != version(second)
    assert child.predicted == [["new_1", "new_2"], ["new_2"]]
    (EXPERIMENT.fold_folder(roots, "fold_1") / "checkpoint_final.pth").write_text("trained anew")
    predict(project, instance)
    assert child.predicted[2:] == [["new_1", "new_2"]]


def test_a_prediction_that_died_goes_on_with_the_cases_that_are_missing(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    child.dies_after = 1
    message = failure(predict(project, instance))
    assert "RuntimeError. 1 of 2 cases were predicted and are kept: materialize it again to go on." in message
    assert not (EXPERIMENT.summary_folder(roots) / "test_predictions").exists()

    child.dies_after = None
    assert predict(project, instance).success
    assert child.predicted == [["new_1", "new_2"], ["new_2"]]


def test_folds_that_change_while_they_predict_make_no_predictions(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained_meanwhile(*arguments: Any, **options: Any) -> ChildResult:
        (EXPERIMENT.fold_folder(roots, "fold_1") / "checkpoint_final.pth").write_text("trained anew")
        return child(*arguments, **options)

    monkeypatch.setattr(prediction, "run_child", trained_meanwhile)
    assert "changed while they predicted. Materialize it again." in failure(predict(project, instance))
    assert predict(project, instance).success
    assert child.predicted == [["new_1", "new_2"]] * 2


def test_without_references_the_test_set_is_predicted_and_that_is_said(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    for path in (raw(roots) / "labelsTs").iterdir():
        path.unlink()

    result = predict(project, instance)

    shown = metadata(result, "test_predictions")
    assert shown["headline"] == "The test set has no references (labelsTs): it is predicted, and not evaluated."
    assert shown["cases_predicted"] == 2
    assert "gap" not in shown
    assert check(result, EVALUATED_CHECK).passed
    assert not (EXPERIMENT.summary_folder(roots) / "test_evaluation").exists()


def test_missing_folds_are_named_before_anything_is_done(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    (EXPERIMENT.fold_folder(roots, "fold_1") / ".nnunet_assets" / "COMMIT").unlink()
    message = failure(predict(project, instance))
    assert "1 of 2 is not finished, or changed since: fold_1. Train what is missing first." in message
    assert child.requests == []


def test_a_fold_without_a_checkpoint_is_named(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    (EXPERIMENT.fold_folder(roots, "fold_0") / "checkpoint_final.pth").unlink()
    assert "fold_0 has no checkpoint_final.pth to predict with" in failure(predict(project, instance))


def test_plans_of_another_training_are_not_predicted_with(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    write_json(EXPERIMENT.model_folder(roots) / "plans.json", {"plans_name": "another"})
    assert "is missing or not what the folds" in failure(predict(project, instance))


def test_what_is_wrong_with_the_test_set_is_said_before_anything_is_predicted(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    write_case(raw(roots) / "labelsTs" / "new_2.nii.gz", REFERENCE[1:])
    assert "labelsTs/new_2.nii.gz has the shape" in failure(predict(project, instance))
    assert child.requests == []


def test_a_prediction_that_cannot_be_evaluated_is_named_by_a_check(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    """Its image is its prediction here: a value that no label has."""
    write_case(raw(roots) / "imagesTs" / "new_2_0000.nii.gz", np.where(REFERENCE == 2, 7, REFERENCE).astype(np.uint8))
    result = predict(project, instance)
    found = check(result, EVALUATED_CHECK)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Case 'new_2' was not evaluated" in str(found.description)
    assert metadata(result, "test_predictions")["headline"] == (
        "Dice 1.000 on the test set, 0.500 in the cross-validation (+0.500)"
    )


def test_a_cascade_takes_the_predictions_of_the_stage_before_it_and_names_those_that_are_missing(
    tmp_path: Path, child: Child
) -> None:
    lowres = Experiment(DATASET, "3d_lowres")
    cascade = Experiment(DATASET, "3d_cascade_fullres")
    roots = roots_in(tmp_path)
    image = write_case(roots.raw / DATASET / "imagesTs" / "new_1_0000.nii.gz", REFERENCE)
    test_set = CheckedTestSet(roots.raw / DATASET, (CaseToPredict("new_1", (image,), "digest", None),), ())
    for experiment in (lowres, cascade):
        write_fold(roots, experiment, "fold_0", {"a": HIGHER}, inputs=MADE)
        (experiment.fold_folder(roots, "fold_0") / "checkpoint_final.pth").write_text("weights")
        write_json(experiment.model_folder(roots) / "plans.json", PLANS)

    def predict(experiment: Experiment) -> prediction.Predicted:
        ensemble = finished_ensemble(roots, experiment, ["fold_0"])
        return prediction.predict_test_set(ensemble, test_set, ".nii.gz", roots, device="cpu", environment={})

    with pytest.raises(FoldError, match="lacks these cases of the test set: new_1"):
        predict(cascade)
    before = predict(lowres)
    predict(cascade)
    assert [request["cases"][0]["previous"] for request in child.requests] == [
        None,
        str(before.folder / "new_1.nii.gz"),
    ]


def test_while_one_process_predicts_another_is_refused(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    work = EXPERIMENT.summary_folder(roots) / ".test_predictions"
    work.mkdir(parents=True)
    with kernel_lock(work / "owner.lock"):
        assert "Another process predicts the test set of" in failure(predict(project, instance))
    assert child.requests == []


def test_it_comes_last_in_a_run_with_the_summary_but_for_the_report_which_shows_the_gap(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    names = ("test_predictions", "cv_evaluation", "cv_report", "cv_summary", "cv_tables")
    result = predict(project, instance, *names)
    order = [str(event.node_name).rsplit("__", 1)[-1] for event in result.all_events if event.is_step_start]
    assert order == ["cv_summary", "cv_tables", "cv_evaluation", "test_predictions", "cv_report"]
    report = EXPERIMENT.summary_folder(roots) / "cv_report.html"
    assert "Dice 1.000 on the test set, 0.500 in the cross-validation (+0.500)" in report.read_text()


def test_a_report_does_not_show_the_gap_of_other_folds_and_is_made_where_folds_are_missing(
    project: Path, instance: dg.DagsterInstance, roots: Roots, child: Child
) -> None:
    assert predict(project, instance).success
    (EXPERIMENT.fold_folder(roots, "fold_1") / ".nnunet_assets" / "COMMIT").unlink()
    report = EXPERIMENT.summary_folder(roots) / "cv_report.html"

    predict(project, instance, "test_predictions", "cv_evaluation", "cv_report", "cv_summary")

    assert "Not complete: fold_1 missing." in report.read_text()
    assert "on the test set" not in report.read_text()
