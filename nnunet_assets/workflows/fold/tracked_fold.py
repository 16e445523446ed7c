"""A fold's MLflow run: opened beside the training, closed with its files."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nnunet_assets.core.files.layout import FoldPlace, Roots
from nnunet_assets.core.fold.commit import FinishedFold, validated_checkpoint
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.nnunet.folds.fold import FoldOutcome
from nnunet_assets.processes.fold_failure import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_figures import ending_metrics
from nnunet_assets.tracking.fold.fold_tracker import FoldTracker, TrackingReport
from nnunet_assets.tracking.fold.system_metrics import SystemSampler
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import HOST, fold_tags, run_title
from nnunet_assets.workflows.fold.fold_uploads import checkpoints_of, contents_of, files_of, logs_of


@dataclass
class TrackedFold:
    """A fold that is followed by MLflow.

    Attributes:
        outcome: Whoever trains it says here what came out, so that it need not be read again for its run.
        report: What MLflow has of it; None until the fold is finished, and where it is not tracked.
    """

    outcome: FoldOutcome | None = None
    report: TrackingReport | None = None


@contextmanager
def tracked_fold(
    settings: Settings, destination: Destination, request: FoldRequest, progress: Progress
) -> Iterator[TrackedFold]:
    """Tracks what happens in the block; tracking that fails is said and counted, and never ends the training.

    The run ends FINISHED, FAILED by an error, or KILLED by a termination; a run that failed has the logs that say why.
    """
    place = request.experiment.place_of(settings.roots, request.fold)
    fold_folder = place.folder
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
        outcome = tracked.outcome
        finished = outcome.finished if outcome else FinishedFold.read(fold_folder)
        checkpoints = checkpoints_of(fold_folder, settings.checkpoints_mb, progress)
        report = tracker.finish(
            "FINISHED",
            [*files_of(fold_folder), *checkpoints],
            contents_of(place, finished, lambda: _splits(settings.roots, place, outcome), progress),
            metrics=ending_metrics(read_records(journal_path(fold_folder)), finished.manifest if finished else None),
            finished=finished,
        )
    _warn(progress, report)
    tracked.report = report


def _splits(roots: Roots, place: FoldPlace, outcome: FoldOutcome | None) -> Any:
    """Returns the split that the fold is of."""
    return outcome.dataset.splits if outcome else read_splits(roots.preprocessed / place.experiment.dataset)


def _warn(progress: Progress, report: TrackingReport) -> None:
    if report.problem:
        remedy = "" if report.is_done else " `nnunet-assets sync` sends what waits."
        progress.warn(f"{report.problem}{remedy}")
