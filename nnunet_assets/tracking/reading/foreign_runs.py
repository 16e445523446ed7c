"""The runs that nnunet-tracker left in MLflow: which tags say what they are, and what their numbers are.

While it trains that tool logs nnU-Net's pseudo Dice, the estimate on random patches, and calls it Dice: `mean_fg_dice`
(the last epoch's), `ema_fg_dice` (the moving average) and `dice_class_<i>`. Here they are pseudo Dice; the moving
average is the foreground's, since the last epoch's alone is chance. Only a run whose validation was logged holds Dice
of whole cases, under `final_val_*`: nnU-Net's own means.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.summary.aggregate_metrics import CLASS, LABEL
from nnunet_assets.core.summary.fold_means import FoldMeans, Means, Measure
from nnunet_assets.core.training.training_end import PSEUDO_DICE_EMA, VAL_LOSS, training_end

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_TYPE = "nnunet_tracker.run_type"
CV_GROUP = "nnunet_tracker.cv_group"
FOLD = "nnunet_tracker.fold"
NO_GROUP = "unknown"
"""The group of the tool's oldest runs, which have no tag for it."""

FOREGROUND: Mapping[Measure, tuple[str, ...]] = {
    "dice": ("final_val_mean_fg_dice",),
    "iou": ("final_val_mean_fg_iou",),
    "pseudo_dice": ("ema_fg_dice", "mean_fg_dice"),
}
"""Metrics of the foreground, the preferred one first."""
LABELS: Mapping[Measure, str] = {
    "dice": "final_val_dice_class_",
    "iou": "final_val_iou_class_",
    "pseudo_dice": "dice_class_",
}
"""What a label's metric begins with. Pseudo Dice numbers nnU-Net's foreground classes from 0, the validation has the
values of labels: `dice_class_1` and `final_val_dice_class_1` are of two labels."""
NAMED: Mapping[Measure, str] = {"dice": LABEL, "iou": LABEL, "pseudo_dice": CLASS}

NO_CASES = (
    "Made by nnunet-tracker: pseudo Dice is nnU-Net's estimate on random patches while it trains, not the Dice of "
    "whole validation cases and not a result. Its classes are nnU-Net's foreground classes, counted from 0; labels "
    "are the values of dataset.json. Scores by case were never logged."
)


def fold_of(run: "Run") -> str | None:
    """Returns `fold_3` of a run that says 3; None where it does not say which fold it is of."""
    number = str(run.data.tags.get(FOLD) or run.data.params.get("fold") or "")
    return f"fold_{number}" if number.isdecimal() or number == "all" else None


def group_of(run: "Run") -> str:
    """Returns the tool's own name of the cross-validation; `NO_GROUP` where it gave none."""
    return str(run.data.tags.get(CV_GROUP) or NO_GROUP)


def experiment_of(cv_group: str) -> Experiment | None:
    """Returns what the tool's name of a cross-validation says it is of; None: it is none of its names."""
    parts = cv_group.split("|")
    if len(parts) != 3 or not all(parts):
        return None
    dataset, configuration, plans = parts
    return Experiment(dataset, configuration, UNKNOWN, plans)


def has_dice(run: "Run") -> bool:
    """Says whether a run holds the Dice of whole cases, not the pseudo Dice alone."""
    means = fold_means(run, "")
    return means is not None and "dice" in means.means


def fold_means(run: "Run", fold: str) -> FoldMeans | None:
    """Returns what the run of a finished fold says; None where it holds no score at all."""
    metrics: Mapping[str, float] = run.data.metrics
    means: dict[Measure, Means] = {}
    for measure, prefix in LABELS.items():
        foreground = next((metrics[name] for name in FOREGROUND[measure] if name in metrics), None)
        numbers = sorted((name.removeprefix(prefix) for name in metrics if name.startswith(prefix)), key=_order)
        labels = {f"{NAMED[measure]} {number}": metrics[f"{prefix}{number}"] for number in numbers}
        if foreground is not None or labels:
            by_label = {name: _defined(value) for name, value in labels.items()}
            means[measure] = Means(_defined(foreground), by_label)
    if not means:
        return None
    last = {VAL_LOSS: metrics.get("val_loss"), PSEUDO_DICE_EMA: metrics.get("ema_fg_dice")}
    training = training_end(last, run.info.run_id, run.info.status)
    return FoldMeans(fold, run.info.run_id, inputs=None, means=means, training=training)


def _order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() else (10**9, number)


def _defined(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
