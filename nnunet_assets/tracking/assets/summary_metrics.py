"""What the MLflow run of a summary shows of it: its metrics and tags."""

from nnunet_assets.core.summary.cv_summary import CvSummary, LabelSummary
from nnunet_assets.tracking.store import names


def summary_tags(summary: CvSummary) -> dict[str, str]:
    """Returns what the run of a summary says of it beside its numbers."""
    alone = summary.training_only
    return {
        names.FOLDS: ",".join(summary.completed_folds),
        names.VALIDATION: summary.what,
        **({} if alone is None else {names.TRAINING_ONLY_CASES: str(len(alone))}),
    }


def summary_metrics(summary: CvSummary) -> dict[str, float | None]:
    """Returns what MLflow shows of a summary: series to value; None is undefined."""
    metrics: dict[str, float | None] = {names.FOLDS_FINISHED: float(len(summary.completed_folds))}
    named: list[tuple[str | None, LabelSummary]] = [(None, summary.foreground), *summary.labels.items()]
    for label_name, label in named:
        for score, found in (("dice", label.dice), ("iou", label.iou)):
            interval = found.pooled.interval
            metrics |= {
                names.summary_series(score, "mean_pooled", label_name): found.pooled.mean,
                names.summary_series(score, "sd_pooled", label_name): found.pooled.sd,
                names.summary_series(score, "median_pooled", label_name): found.pooled.median,
                names.summary_series(score, "ci95_low_pooled", label_name): interval.low if interval else None,
                names.summary_series(score, "ci95_high_pooled", label_name): interval.high if interval else None,
                # Of a hold-out it would be the pooled mean under another name.
                names.summary_series(score, "mean_over_folds", label_name): (
                    None if summary.is_hold_out else found.over_folds.mean
                ),
                names.summary_series(score, "sd_over_folds", label_name): found.over_folds.sd,
            }
    return metrics
