"""A summary as rows of names and numbers: by label, by fold, by case; for tables, files and data frames alike.

None is undefined or, for a fold, missing; never 0.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from nnunet_assets.core.statistics.estimate import Estimate
from nnunet_assets.core.summary.fold_progress import FoldProgress
from nnunet_assets.core.summary.label_summary import METRICS, LabelSummary, MetricSummary
from nnunet_assets.core.validation.case_results import CaseResult

FOREGROUND = "foreground mean"
"""What stands in the column of labels for the mean over them."""

Cell = str | int | float | None
Row = dict[str, Cell]
FoldMeansByLabel = Mapping[str | None, Mapping[str, float | None]]
"""Label, or None for the foreground, to fold to its mean."""

FOLD_COLUMNS = ("fold", "status", "val_loss", "pseudo_dice_ema", "run_id")
"""Of a row by fold, beside the means."""


class ScoredFold(Protocol):
    """A fold with its scores by case."""

    @property
    def fold(self) -> str:
        """Its name."""

    @property
    def cases(self) -> Sequence[CaseResult]:
        """Its validation cases."""


def label_cells(label: str | None) -> Row:
    """Returns the cells `level` (`label` or `foreground`) and `label`; None: the foreground's."""
    return {"level": "foreground" if label is None else "label", "label": FOREGROUND if label is None else label}


def label_rows(labels: Mapping[str, LabelSummary], foreground: LabelSummary, progress: FoldProgress) -> list[Row]:
    """Returns one row a label and metric, then the foreground's: label in the order of dataset.json, Dice before IoU.

    Columns: `level` (`label` or `foreground`), `label`, `metric` (`dice` or `iou`); `mean_pooled`, `sd_pooled`,
    `median_pooled`, `q1_pooled`, `q3_pooled`, `ci95_low_pooled`, `ci95_high_pooled` (of the mean), `n_cases`,
    `n_cases_defined`; `mean_over_folds`, `sd_over_folds`, `n_folds`, `n_folds_defined`; `mean_fold_0` and so
    on for each expected fold; `missing_folds`, separated by spaces.
    """
    named: list[tuple[str | None, LabelSummary]] = [*labels.items(), (None, foreground)]
    return [
        {**label_cells(name), "metric": metric, **_pooled(of_metric), **_over_folds(of_metric, progress)}
        for name, label in named
        for metric in METRICS
        for of_metric in [getattr(label, metric)]
    ]


def mean_rows(
    estimates: Iterable[tuple[str, str | None, Estimate]],
    means: Mapping[str, FoldMeansByLabel],
    progress: FoldProgress,
) -> list[Row]:
    """Returns one row a measure and label with the columns of `label_rows`, without the pooled ones.

    Args:
        estimates: Measure, label (None: the foreground) and estimate over folds, in order.
        means: By measure.
        progress: Which folds there are.
    """
    return [
        {
            **label_cells(label),
            "metric": measure,
            **_estimate_over_folds(estimate),
            **{f"mean_{fold}": means[measure][label].get(fold) for fold in progress.expected_folds},
            "missing_folds": " ".join(progress.missing_folds),
        }
        for measure, label, estimate in estimates
    ]


def fold_rows(progress: FoldProgress, means: Mapping[str, FoldMeansByLabel]) -> list[Row]:
    """Returns one row an expected fold: its means, where its curves ended, and its MLflow run.

    Columns: `fold`, `status` (MLflow's, or `missing`); by measure `dice_mean` (the foreground's), `dice/LABEL` ...;
    `val_loss` and `pseudo_dice_ema` of the last epoch; `run_id`.

    Args:
        progress: Which folds there are.
        means: By measure: the means over the cases of each fold.
    """
    trainings = {fold.fold: fold.training for fold in progress.folds}
    rows: list[Row] = []
    for fold in progress.expected_folds:
        training = trainings.get(fold)
        scores: Row = {
            f"{measure}_mean" if label is None else f"{measure}/{label}": by_fold.get(fold)
            for measure, by_label in means.items()
            for label, by_fold in by_label.items()
        }
        rows.append(
            {
                "fold": fold,
                "status": training.status if training else "missing",
                **scores,
                "val_loss": training.val_loss if training else None,
                "pseudo_dice_ema": training.pseudo_dice_ema if training else None,
                "run_id": training.run_id if training else None,
            }
        )
    return rows


def case_rows(folds: Iterable[ScoredFold], patients: Mapping[str, str] | None) -> list[Row]:
    """Returns one row a case and label, in the order of folds and cases: fold, case, patient, label, dice, iou."""
    return [
        {
            "fold": fold.fold,
            "case": case.case_id,
            "patient": (patients or {}).get(case.case_id),
            "label": name,
            "dice": score.dice,
            "iou": score.iou,
        }
        for fold in folds
        for case in fold.cases
        for name, score in case.scores.items()
    ]


def _pooled(metric: MetricSummary) -> Row:
    pooled = metric.pooled
    return {
        "mean_pooled": pooled.mean,
        "sd_pooled": pooled.sd,
        "median_pooled": pooled.median,
        "q1_pooled": pooled.q1,
        "q3_pooled": pooled.q3,
        "ci95_low_pooled": pooled.interval.low if pooled.interval else None,
        "ci95_high_pooled": pooled.interval.high if pooled.interval else None,
        "n_cases": pooled.n,
        "n_cases_defined": pooled.n_defined,
    }


def _over_folds(metric: MetricSummary, progress: FoldProgress) -> Row:
    return {
        **_estimate_over_folds(metric.over_folds),
        **{
            f"mean_{fold}": metric.by_fold[fold].mean if fold in metric.by_fold else None
            for fold in progress.expected_folds
        },
        "missing_folds": " ".join(progress.missing_folds),
    }


def _estimate_over_folds(estimate: Estimate) -> Row:
    return {
        "mean_over_folds": estimate.mean,
        "sd_over_folds": estimate.sd,
        "n_folds": estimate.n,
        "n_folds_defined": estimate.n_defined,
    }
