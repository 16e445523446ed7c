"""The promise that our means are nnU-Net's: its own evaluation of tiny label images, fold by fold and accumulated."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.fold_result import read_fold_result
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.nnunet.evaluation.evaluation import evaluate_cases
from nnunet_assets.nnunet.evaluation.predicted_cases import cases_of_folds
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import write_label_tables
from nnunet_assets_tests.builders import build_manifest
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process

LABELS = {
    "Dataset901_Labels": {"background": 0, "A": 1, "B": 2, "ignore": 3},
    "Dataset902_Regions": {"background": 0, "whole": [1, 2], "core": 2},
}
FOLD_CASES = {"fold_0": ["c1", "c2", "c3", "c4"], "fold_1": ["c5", "c6"]}
WITHOUT_B = ("c2", "c5", "c6")
"""Cases whose reference and prediction lack label 2: some of fold_0, all of fold_1, where nnU-Net's mean is NaN."""


def write_image(path: Any, values: Any) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.uint8), np.eye(4)), path)


def write_dataset(root: Any, dataset: Any, labels: Any) -> Any:
    """Writes references, predictions, dataset.json and plans.json; returns the model's folder."""
    random = np.random.default_rng(7)
    model = root / "results" / dataset / Experiment(dataset, "3d_fullres").name
    highest = 3 if "ignore" in labels else 2
    for fold, cases in FOLD_CASES.items():
        for case in cases:
            reference = random.integers(0, highest + 1, (5, 6, 7))
            prediction = np.where(
                random.random(reference.shape) < 0.7, np.minimum(reference, 2), random.integers(0, 3, (5, 6, 7))
            )
            if case in WITHOUT_B:
                reference[reference == 2], prediction[prediction == 2] = 0, 0
            write_image(root / "raw" / dataset / "labelsTr" / f"{case}.nii.gz", reference)
            write_image(model / fold / "validation" / f"{case}.nii.gz", prediction)
    content = {"labels": labels, "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz", "regions_class_order": [1, 2]}
    (model / "dataset.json").write_text(json.dumps(content))
    (model / "plans.json").write_text(json.dumps({"dataset_name": dataset, "image_reader_writer": "SimpleITKIO"}))
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("contract")
    folders = {dataset: write_dataset(root, dataset, labels) for dataset, labels in LABELS.items()}
    with nnunet_in_process({"nnUNet_raw": root / "raw"}):
        from nnunetv2.evaluation.accumulate_cv_results import accumulate_cv_results
        from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder2

        for dataset, model in folders.items():
            references, files = root / "raw" / dataset / "labelsTr", [model / "dataset.json", model / "plans.json"]
            for fold in FOLD_CASES:
                compared = [references, model / fold / "validation", *files]
                compute_metrics_on_folder2(*map(str, compared), num_processes=1, chill=True)
            accumulate_cv_results(str(model), str(model / "crossval"), (0, 1), num_processes=1)
    return folders


def summary_of(model: Path) -> Any:
    content = json.loads((model / "dataset.json").read_text())
    labels, ending = content["labels"], content["file_ending"]
    folds = [
        read_fold_result(
            model / fold, labels, build_manifest(model / fold), cases, file_ending=ending, commit_sha256=""
        )
        for fold, cases in FOLD_CASES.items()
    ]
    return summarize(Experiment(model.parent.name, "3d_fullres"), list(FOLD_CASES), folds)


@pytest.mark.parametrize(
    ("dataset", "keys"),
    [("Dataset901_Labels", {"A": "1", "B": "2"}), ("Dataset902_Regions", {"whole": "(1, 2)", "core": "2"})],
)
def test_our_means_are_those_of_nnunet(models: Any, dataset: str, keys: dict[str, Any]) -> None:
    summary = summary_of(models[dataset])
    accumulated = json.loads((models[dataset] / "crossval" / "summary.json").read_text())
    assert list(summary.labels) == list(keys)
    for name, key in keys.items():
        nnunet = accumulated["mean"][key]
        assert summary.labels[name].dice.pooled.mean == pytest.approx(nnunet["Dice"], abs=1e-12)
        assert summary.labels[name].iou.pooled.mean == pytest.approx(nnunet["IoU"], abs=1e-12)
    assert summary.foreground.dice.pooled.mean == pytest.approx(accumulated["foreground_mean"]["Dice"], abs=1e-12)
    assert summary.foreground.iou.pooled.mean == pytest.approx(accumulated["foreground_mean"]["IoU"], abs=1e-12)

    fold_0 = json.loads((models[dataset] / "fold_0" / "validation" / "summary.json").read_text())
    by_fold = summary.foreground.dice.by_fold
    assert by_fold["fold_0"].mean == pytest.approx(fold_0["foreground_mean"]["Dice"], abs=1e-12)


def test_where_a_fold_lacks_a_label_nnunets_foreground_is_nan_and_ours_leaves_the_label_out(models: Any) -> None:
    model = models["Dataset901_Labels"]
    fold_1 = json.loads((model / "fold_1" / "validation" / "summary.json").read_text())
    assert math.isnan(fold_1["foreground_mean"]["Dice"])

    summary = summary_of(model)
    assert summary.foreground.dice.by_fold["fold_1"].mean == pytest.approx(fold_1["mean"]["1"]["Dice"], abs=1e-12)
    assert summary.absent_labels_by_fold == {"fold_1": ("B",)}
    assert (summary.labels["B"].dice.pooled.n, summary.labels["B"].dice.pooled.n_defined) == (6, 3)


@pytest.mark.parametrize(
    ("dataset", "keys"),
    [("Dataset901_Labels", {"A": "1", "B": "2"}), ("Dataset902_Regions", {"whole": "(1, 2)", "core": "2"})],
)
def test_an_evaluation_of_the_saved_predictions_has_the_means_of_nnunet(
    models: Any, tmp_path: Path, dataset: str, keys: dict[str, Any]
) -> None:
    model = models[dataset]
    references = model.parents[2] / "raw" / dataset / "labelsTr"
    splits = [{"train": [], "val": cases} for cases in FOLD_CASES.values()]
    (references.parent / "splits_final.json").write_text(json.dumps(splits))
    found = cases_of_folds(model, references, list(FOLD_CASES), dataset, of_plain_nnunet=True)
    evaluation = evaluate_cases(
        found, metric_policy(found.description), tmp_path, write_table=write_case_table, write_labels=write_label_tables
    )
    assert evaluation.problems == ()
    assert (evaluation.n_evaluated, evaluation.n_expected) == (6, 6)
    accumulated = json.loads((model / "crossval" / "summary.json").read_text())
    for name, key in keys.items():
        for metric, nnunets in (("dice", "Dice"), ("iou", "IoU")):
            mean = evaluation.labels[name].estimate(metric).mean
            assert mean == pytest.approx(accumulated["mean"][key][nnunets], abs=1e-12)
