"""A fold's MLflow run, seen from its asset: opened beside the training, closed with its files, shown in metadata."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.fold.fold_uploads import checkpoints_of, contents_of, files_of, logs_of
from nnunet_assets.core.fold.commit import read_committed, validated_checkpoint
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import Progress
from nnunet_assets.processes.fold_failure import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_figures import ending_metrics
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker, TrackingReport
from nnunet_assets.tracking.fold.system_metrics import SystemSampler
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import HOST, fold_tags, run_title


@dataclass
class TrackedFold:
    """What the fold's asset shows of its MLflow run; empty until the fold is finished."""

    metadata: dict[str, dg.MetadataValue] = field(default_factory=dict)


@contextmanager
def tracked_fold(
    settings: Settings, request: FoldRequest, fold_folder: Path, progress: Progress
) -> Iterator[TrackedFold]:
    """Tracks what happens in the block; tracking that fails is said and counted, and never ends the training.

    The run ends FINISHED, FAILED by an error, or KILLED by a termination; a run that failed has the logs that say why.
    """
    destination = Destination.of(settings)
    tracker = FoldTracker(
        destination,
        experiment_name=destination.experiment_of(request.experiment.dataset),
        fold_folder=fold_folder,
        tags={
            **fold_tags(
                request.experiment,
                request.fold,
                request.inputs,
                validated=validated_checkpoint(val_best=request.options.val_best),
                dagster_run_id=request.dagster_run_id,
            ),
            HOST: socket.gethostname(),
        },
        run_name=f"{run_title(request.experiment)} {request.fold}",
    )
    n_gpus = 0 if request.device in ("cpu", "mps") else request.options.num_gpus
    tracked = TrackedFold()
    with tracker:
        try:
            with SystemSampler(fold_folder, n_gpus):
                yield tracked
        except Exception as error:
            figures = ending_metrics(read_records(journal_path(fold_folder)), None)
            failure = str(error.failure) if isinstance(error, FoldFailed) else "crashed"
            _warn(progress, tracker.finish("FAILED", logs_of(fold_folder), metrics=figures, failure=failure))
            raise
        checkpoints = checkpoints_of(fold_folder, settings.checkpoints_mb, progress)
        report = tracker.finish(
            "FINISHED",
            [*files_of(fold_folder), *checkpoints],
            contents_of(settings.roots, request.experiment, request.fold, progress),
            metrics=ending_metrics(read_records(journal_path(fold_folder)), read_committed(fold_folder)),
        )
    _warn(progress, report)
    tracked.metadata = tracking_metadata(destination, report)


def _warn(progress: Progress, report: TrackingReport) -> None:
    if report.problem:
        remedy = "" if report.is_done else " `nnunet-assets sync` sends what waits."
        progress.warn(f"{report.problem}{remedy}")


def tracking_metadata(destination: Destination, report: TrackingReport) -> dict[str, dg.MetadataValue]:
    """Returns the link to the run, and how many records MLflow has and how many wait."""
    metadata: dict[str, dg.MetadataValue] = {
        "mlflow_records_sent": dg.MetadataValue.int(report.n_sent),
        "mlflow_records_waiting": dg.MetadataValue.int(report.n_waiting),
    }
    if report.problem:
        metadata["mlflow_problem"] = dg.MetadataValue.text(report.problem)
    if report.run_id and report.experiment_id:
        url = destination.run_url(report.experiment_id, report.run_id)
        metadata["mlflow_run"] = dg.MetadataValue.url(url) if url else dg.MetadataValue.text(report.run_id)
    return metadata
