"""The summary's MLflow run, seen from its asset."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.events.mlflow_runs import may_share_files, tracked
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.summary_metrics import summary_metrics, summary_tags
from nnunet_assets.tracking.assets.summary_run import add_to_summary, log_summary


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
