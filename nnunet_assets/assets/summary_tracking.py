"""The summary's MLflow run, seen from its asset."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.core.cv_summary import CvSummary, LabelSummary
from nnunet_assets.settings import Settings
from nnunet_assets.tracking import names
from nnunet_assets.tracking.client import connect, get_or_create_experiment, is_local, run_url
from nnunet_assets.tracking.failures import explain
from nnunet_assets.tracking.summary_run import log_summary


def track_summary(
    settings: Settings, summary: CvSummary, files: Sequence[Path], context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the experiment's summary run up to date; a tracking server that fails costs a warning, not the summary."""
    may_share = settings.share_files or is_local(settings.tracking_uri)
    experiment_name = settings.tracking_experiment(summary.experiment.dataset)
    try:
        client = connect(settings.tracking_uri, settings.artifacts)
        experiment_id = get_or_create_experiment(client, experiment_name, settings.artifacts)
        run_id = log_summary(
            client,
            summary.experiment,
            summary_metrics(summary),
            experiment_name=experiment_name,
            artifacts=settings.artifacts,
            tags={names.FOLDS: ",".join(summary.completed_folds)},
            files=files if may_share else (),
            dagster_run_id=context.run.run_id,
        )
    except Exception as error:  # noqa: BLE001 (whatever a tracking server may do, the summary stands)
        problem = explain(error, settings.tracking_uri).sentence
        context.log.warning(problem)
        return {"mlflow_problem": dg.MetadataValue.text(problem)}
    url = run_url(settings.tracking_ui, experiment_id, run_id)
    return {"mlflow_run": dg.MetadataValue.url(url) if url else dg.MetadataValue.text(run_id)}


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
                names.summary_series(score, "mean_over_folds", label_name): found.over_folds.mean,
                names.summary_series(score, "sd_over_folds", label_name): found.over_folds.sd,
            }
    return metrics
