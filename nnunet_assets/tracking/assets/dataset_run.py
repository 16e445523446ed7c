"""The MLflow run that shows a raw dataset as it was last looked at."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.dataset.intake import IntakeReport
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.store import names

if TYPE_CHECKING:
    from mlflow import MlflowClient


def log_dataset(
    client: "MlflowClient",
    report: IntakeReport,
    *,
    experiment_name: str,
    artifacts: Path,
    files: Sequence[Path],
    dagster_run_id: str,
) -> str:
    """Brings the one run of a raw dataset up to date and returns its id; see `asset_run.bring_up_to_date`.

    The metrics name labels and codes, never cases.

    Args:
        files: They name cases.
    """
    return bring_up_to_date(
        client,
        subject=f"The raw data of {report.dataset}",
        known_by=(names.RUN_TYPE, names.DATASET),
        tags={names.RUN_TYPE: "raw_dataset", names.DATASET: report.dataset, names.RAW_HASH: report.content_hash},
        run_name=f"{report.dataset} raw data",
        metrics=_metrics(report),
        experiment_name=experiment_name,
        artifacts=artifacts,
        files=files,
        dagster_run_id=dagster_run_id,
    )


def _metrics(report: IntakeReport) -> Mapping[str, float]:
    metrics: dict[str, float] = {
        names.CASES: len(report.cases),
        names.ERRORS: report.n_errors,
        names.WARNINGS: report.n_warnings,
    }
    for finding in report.findings:
        series = f"{names.FINDINGS}/{finding.code}"
        metrics[series] = metrics.get(series, 0) + 1
    for label_name in report.foreground if report.voxels_checked else ():
        volumes = sorted(report.volumes_ml(label_name))
        metrics[f"{names.LABEL_CASES}/{label_name}"] = len(volumes)
        if volumes:
            metrics[f"{names.LABEL_VOLUME_ML}/{label_name}"] = volumes[len(volumes) // 2]
    return metrics
