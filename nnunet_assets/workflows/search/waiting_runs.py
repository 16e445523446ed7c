"""What MLflow does not have of the folds of trials, sent once more: who was ended had seconds for that.

A trial that was stopped is trained no further, so that its curve would wait, and its run be shown as running, for ever.
"""

from collections.abc import Iterable
from pathlib import Path

from nnunet_assets.core.fold.journal import journal_path
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_run import FoldRun
from nnunet_assets.tracking.fold.fold_tracker import known_report
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold.sync import sync


def send_what_waits(
    settings: Settings, destination: Destination, folds: Iterable[Path], *, timeout_seconds: float
) -> int:
    """Returns how many of the folds still wait; those that were never tracked, or have sent everything, cost nothing.

    Args:
        settings: Of the project.
        destination: Where their runs are.
        folds: nnU-Net's `fold_k` of trials that do not train now.
        timeout_seconds: How long to try, for all of them.
    """
    tracked = [fold for fold in folds if journal_path(fold).is_file() and FoldRun.load(fold) is not None]
    waiting = [fold for fold in tracked if not known_report(destination, fold).is_done]
    return sync(settings, destination, waiting, timeout_seconds).n_waiting if waiting else 0
