"""The raw dataset's MLflow run, seen from its asset."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.core.intake import IntakeReport
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.client import connect, get_or_create_experiment, is_local, run_url
from nnunet_assets.tracking.dataset_run import log_dataset
from nnunet_assets.tracking.failures import explain


def track_dataset(
    settings: Settings, report: IntakeReport, files: Sequence[Path], context: dg.AssetExecutionContext
) -> dict[str, dg.MetadataValue]:
    """Brings the dataset's run up to date; a tracking server that fails costs a warning, not the intake.

    Page and tables name cases: to a server elsewhere they go only where the user has agreed to share files.
    """
    may_share = settings.share_files or is_local(settings.tracking_uri)
    experiment_name = settings.tracking_experiment(report.dataset)
    try:
        client = connect(settings.tracking_uri, settings.artifacts)
        experiment_id = get_or_create_experiment(client, experiment_name, settings.artifacts)
        run_id = log_dataset(
            client,
            report,
            experiment_name=experiment_name,
            artifacts=settings.artifacts,
            files=files if may_share else (),
            dagster_run_id=context.run.run_id,
        )
    except Exception as error:  # noqa: BLE001 (whatever a tracking server may do, the intake stands)
        problem = explain(error, settings.tracking_uri).sentence
        context.log.warning(problem)
        return {"mlflow_problem": dg.MetadataValue.text(problem)}
    url = run_url(settings.tracking_ui, experiment_id, run_id)
    return {"mlflow_run": dg.MetadataValue.url(url) if url else dg.MetadataValue.text(run_id)}
