"""A fold's MLflow run, seen from its asset: opened beside the training, closed with its files, shown in metadata."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from nnunet_assets.core.journal import journal_path, read_records
from nnunet_assets.core.layout import OWN_FOLDER
from nnunet_assets.nnunet.child import LOG_FILE
from nnunet_assets.nnunet.fold import FoldRequest
from nnunet_assets.reports.curves import learning_curve_png
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.client import run_url
from nnunet_assets.tracking.fold_tracker import FoldTracker, TrackingReport
from nnunet_assets.tracking.names import fold_tags, run_title


@dataclass
class TrackedFold:
    """What the fold's asset shows of its MLflow run; empty until the fold is finished."""

    metadata: dict[str, dg.MetadataValue] = field(default_factory=dict)


@contextmanager
def tracked_fold(
    settings: Settings, request: FoldRequest, fold_folder: Path, log: logging.Logger
) -> Iterator[TrackedFold]:
    """Tracks what happens in the block; tracking that fails is said and counted, and never ends the training.

    The run ends FINISHED, FAILED by an error, or KILLED by a termination; a run that failed has the logs that say why.
    """
    tracker = FoldTracker(
        settings.tracking_uri,
        settings.artifacts,
        experiment_name=settings.tracking_experiment(request.experiment.dataset),
        fold_folder=fold_folder,
        tags=fold_tags(request.experiment, request.fold, request.inputs, dagster_run_id=request.dagster_run_id),
        run_name=f"{run_title(request.experiment)} {request.fold}",
        share_files=settings.share_files,
    )
    tracked = TrackedFold()
    with tracker:
        try:
            yield tracked
        except Exception:
            _warn(log, tracker.finish("FAILED", _logs(fold_folder)))
            raise
        curve = learning_curve_png(read_records(journal_path(fold_folder)))
        report = tracker.finish("FINISHED", _files(fold_folder), {"learning_curve.png": curve})
    _warn(log, report)
    tracked.metadata = tracking_metadata(settings, report)


def _warn(log: logging.Logger, report: TrackingReport) -> None:
    if report.problem:
        log.warning(report.problem)


def _files(fold_folder: Path) -> list[Path]:
    model_folder = fold_folder.parent
    files = [
        fold_folder / OWN_FOLDER / "manifest.json",
        fold_folder / "validation" / "summary.json",
        fold_folder / "debug.json",
        model_folder / "plans.json",
        model_folder / "dataset.json",
        model_folder / "dataset_fingerprint.json",
    ]
    return [*(file for file in files if file.is_file()), *_logs(fold_folder)]


def _logs(fold_folder: Path) -> list[Path]:
    """Returns nnU-Net's own logs, and what the fold's process printed last."""
    return [*sorted(fold_folder.glob("training_log_*.txt")), *fold_folder.glob(f"{OWN_FOLDER}/{LOG_FILE}")]


def tracking_metadata(settings: Settings, report: TrackingReport) -> dict[str, dg.MetadataValue]:
    """Returns the link to the run, and how many records MLflow has and how many wait."""
    metadata: dict[str, dg.MetadataValue] = {
        "mlflow_records_sent": dg.MetadataValue.int(report.n_sent),
        "mlflow_records_waiting": dg.MetadataValue.int(report.n_waiting),
    }
    if report.problem:
        metadata["mlflow_problem"] = dg.MetadataValue.text(report.problem)
    if report.run_id and report.experiment_id:
        url = run_url(settings.tracking_ui, report.experiment_id, report.run_id)
        metadata["mlflow_run"] = dg.MetadataValue.url(url) if url else dg.MetadataValue.text(report.run_id)
    return metadata
