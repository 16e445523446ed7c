"""A summary as rows by label, by fold and by case; what the tables show of them has tests beside these."""

from dataclasses import replace

from nnunet_assets.core.summary.fold_means import FoldMeans, Means, summarize_means
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.summary.summary_rows import FOREGROUND, case_rows, fold_rows, label_cells, label_rows, mean_rows
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, build_fold_result

RESULT = replace(
    build_fold_result("fold_1", {"x": {"a": 0.5, "b": None}, "y": {"a": 0.7, "b": None}}),
    training=TrainingEnd("run", "FINISHED", -0.25, 0.125),
)
SUMMARY = summarize(EXPERIMENT, ["fold_0", "fold_1"], [RESULT])


def test_each_label_has_a_row_a_metric_and_the_foreground_comes_last() -> None:
    rows = label_rows(SUMMARY.labels, SUMMARY.foreground, SUMMARY)
    assert [(row["level"], row["label"], row["metric"]) for row in rows] == [
        ("label", "a", "dice"),
        ("label", "a", "iou"),
        ("label", "b", "dice"),
        ("label", "b", "iou"),
        ("foreground", FOREGROUND, "dice"),
        ("foreground", FOREGROUND, "iou"),
    ]
    assert (rows[0]["mean_pooled"], rows[0]["n_cases"], rows[0]["mean_fold_0"]) == (0.6, 2, None)
    assert (rows[0]["mean_fold_1"], rows[0]["missing_folds"]) == (0.6, "fold_0")
    assert (rows[2]["mean_pooled"], rows[2]["n_cases_defined"], rows[2]["n_folds_defined"]) == (None, 0, 0)


def test_each_expected_fold_has_a_row_with_its_means_loss_and_run() -> None:
    missing, finished = fold_rows(SUMMARY, {"dice": SUMMARY.fold_means()["dice"]})
    assert finished == {
        "fold": "fold_1",
        "status": "FINISHED",
        "dice_mean": 0.6,
        "dice/a": 0.6,
        "dice/b": None,
        "val_loss": -0.25,
        "pseudo_dice_ema": 0.125,
        "run_id": "run",
    }
    assert (missing["fold"], missing["status"]) == ("fold_0", "missing")
    assert {missing[column] for column in missing if column not in ("fold", "status")} == {None}


def test_each_case_has_a_row_a_label() -> None:
    rows = case_rows([RESULT], {"x": "p1"})
    assert [(row["case"], row["patient"], row["label"], row["dice"]) for row in rows] == [
        ("x", "p1", "a", 0.5),
        ("x", "p1", "b", None),
        ("y", None, "a", 0.7),
        ("y", None, "b", None),
    ]
    assert case_rows([RESULT], None)[0]["patient"] is None


def test_means_alone_have_the_same_columns_but_for_the_pooled_ones() -> None:
    known = FoldMeans("fold_0", "run", INPUTS, {"dice": Means(0.5, {"a": 0.25})})
    summary = summarize_means(EXPERIMENT, "x", ["fold_0", "fold_1"], [known], "")
    label, foreground = mean_rows(summary.estimates(), summary.fold_means(), summary)
    whole = label_rows(SUMMARY.labels, SUMMARY.foreground, SUMMARY)[0]
    assert list(label) == [column for column in whole if "pooled" not in column and "n_cases" not in column]
    assert (label["label"], label["mean_over_folds"], label["mean_fold_0"], label["mean_fold_1"]) == (
        "a",
        0.25,
        0.25,
        None,
    )
    assert (foreground["level"], foreground["mean_over_folds"], foreground["missing_folds"]) == (
        "foreground",
        0.5,
        "fold_1",
    )


def test_the_foreground_has_a_level_of_its_own() -> None:
    assert label_cells("foreground mean")["level"] == "label"
    assert label_cells(None) == {"level": "foreground", "label": "foreground mean"}
