"""The summary's MLflow run, seen from its asset."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.run_tracking import may_share_files, tracked
from nnunet_assets.core.cv_summary import CvSummary, LabelSummary
from nnunet_assets.core.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets.tracking import names
from nnunet_assets.tracking.summary_run import add_to_summary, log_summary


def track_summary(
    settings: Settings, summary: CvSummary, files: Sequence[Path], context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the experiment's summary run up to date; a tracking server that fails costs a warning, not the summary."""
    return tracked(
        settings,
        summary.experiment.dataset,
        context,
        lambda client, **place: log_summary(
            client,
            summary.experiment,
            summary_metrics(summary),
            **place,
            tags=summary_tags(summary),
            files=files if may_share_files(settings) else (),
            dagster_run_id=context.run.run_id,
        ),
    )


def upload_to_summary(
    settings: Settings,
    experiment: Experiment,
    files: Sequence[Path],
    context: dg.AssetExecutionContext,
    folder: str | None = None,
) -> dict[str, dg.MetadataValue]:
    """Adds files to that run, where files may go there; a tracking server that fails costs a warning.

    Args:
        folder: Among the run's artifacts; None: beside the summary.
    """
    if not may_share_files(settings):
        return {}
    return tracked(
        settings,
        experiment.dataset,
        context,
        lambda client, **place: add_to_summary(client, experiment, files, **place, folder=folder),
    )


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
