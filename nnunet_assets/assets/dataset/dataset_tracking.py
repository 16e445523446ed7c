"""The raw dataset's MLflow run, seen from its asset."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.events.mlflow_runs import may_share_files, tracked
from nnunet_assets.core.dataset.intake import IntakeReport
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.dataset_run import log_dataset


def track_dataset(
    settings: Settings, report: IntakeReport, files: Sequence[Path], context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the dataset's run up to date; a tracking server that fails costs a warning, not the intake.

    Page and tables name cases: to a server elsewhere they go only where the user has agreed to share files.
    """
    return tracked(
        settings,
        report.dataset,
        context,
        lambda client, **place: log_dataset(
            client,
            report,
            **place,
            files=files if may_share_files(settings) else (),
            dagster_run_id=context.run.run_id,
        ),
    )
