"""A fold's MLflow run: opened beside the training, closed with its files."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
from nnunet_assets.workflows.fold_runs.fold_uploads import checkpoints_of, contents_of, files_of, logs_of


@dataclass
class TrackedFold:
    """What MLflow has of a fold; None until the fold is finished, and where it is not tracked."""

    report: TrackingReport | None = None


@contextmanager
def tracked_fold(
    settings: Settings, destination: Destination, request: FoldRequest, progress: Progress
) -> Iterator[TrackedFold]:
    """Tracks what happens in the block; tracking that fails is said and counted, and never ends the training.

    The run ends FINISHED, FAILED by an error, or KILLED by a termination; a run that failed has the logs that say why.
    """
    fold_folder = request.experiment.fold_folder(settings.roots, request.fold)
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
    tracked.report = report


def _warn(progress: Progress, report: TrackingReport) -> None:
    if report.problem:
        remedy = "" if report.is_done else " `nnunet-assets sync` sends what waits."
        progress.warn(f"{report.problem}{remedy}")
