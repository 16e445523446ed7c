"""What people asked to watch of a training, on its way to the fold's MLflow run: iterations, and pictures of slices.

Like the journal's epochs it goes when a checkpoint holds it, so that nothing is there twice after a kill.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from nnunet_assets.core.fold.iterations import batches_path, iterations_of
from nnunet_assets.core.fold.journal import Record, read_records, settled
from nnunet_assets.core.training.panel_files import panel_files
from nnunet_assets.tracking.fold.fold_run import FoldRun
from nnunet_assets.tracking.runs.batches import groups


def send_batches(
    run: FoldRun, fold_folder: Path, n_saved: int | None, write: Callable[[Sequence[Record]], None]
) -> None:
    """Sends the iterations of the epochs that MLflow does not have them of.

    Args:
        run: Counts the epochs.
        fold_folder: nnU-Net's `fold_k`.
        n_saved: How many epochs a checkpoint holds; None: nobody notes it.
        write: Sends records that share a batch, or raises.
    """
    for record in settled(read_records(batches_path(fold_folder), run.n_batches_sent), n_saved):
        for group in groups(iterations_of(record)):
            write(group)
        run.n_batches_sent += 1
        run.save(fold_folder)


def add_panels(run: FoldRun, fold_folder: Path, n_saved: int | None) -> None:
    """Puts the pictures that are not among the run's files yet among those that are to be uploaded."""
    due = {
        epoch: path
        for epoch, path in panel_files(fold_folder).items()
        if epoch >= run.panels_until and (n_saved is None or epoch < n_saved)
    }
    if due:
        run.add_files([str(path.relative_to(fold_folder)) for path in due.values()])
        run.panels_until = max(due) + 1
        run.save(fold_folder)


def cut_back_watched(run: FoldRun, fold_folder: Path) -> None:
    """Counts as not sent what is of epochs from which on the journal was cut back; these are trained again."""
    first = run.resumed_at[-1]
    n_before = sum((record.epoch or 0) < first for record in read_records(batches_path(fold_folder)))
    run.n_batches_sent = min(run.n_batches_sent, n_before)
    run.panels_until = min(run.panels_until, first)
