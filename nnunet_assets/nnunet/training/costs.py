"""What nnU-Net spends beside training, spent more cheaply, with the same files as the result.

Bound in the fold's own process, where nobody else uses nnU-Net. A trainer class that brings its own way keeps it.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace
from typing import Any

from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer

DRAWING_SHARE = 0.01
"""The part of the training time that drawing may take."""

FIRST_DRAWING_SECONDS = 60
"""After this long there is something to see."""


def export_in_threads() -> None:
    """Makes nnU-Net's validation write and score its predictions in threads of this process.

    nnU-Net starts a pool of processes for each of the two, and every one of them imports torch and nnU-Net: seconds of
    processor time each, against milliseconds of work a case. What they do (resampling, compression, comparing arrays)
    lets other threads run. A thread cannot be killed alone either: nnU-Net waits for ever for a killed worker.
    """
    from nnunetv2.evaluation import evaluate_predictions
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer

    class ThreadsForProcesses:
        def get_context(self, method: str) -> SimpleNamespace:
            return SimpleNamespace(Pool=ThreadPool)

        def __getattr__(self, name: str) -> Any:
            return getattr(multiprocessing, name)

    for module in (evaluate_predictions, nnUNetTrainer):
        module.multiprocessing = ThreadsForProcesses()


def draw_progress_rarely(trainer: NnunetTrainer) -> Callable[[], None]:
    """Makes the trainer draw `progress.png` now and then, and returns what draws it for the last time.

    nnU-Net draws 30 x 54 inches after every epoch: 0.7 s at epoch 5, 1.4 s at epoch 1000.
    """
    draw = trainer.logger.plot_progress_png
    due = time.monotonic() + FIRST_DRAWING_SECONDS
    is_current = True

    def plot_progress_png(folder: str) -> None:
        nonlocal due, is_current
        is_current = time.monotonic() >= due
        if is_current:
            start = time.monotonic()
            draw(folder)
            now = time.monotonic()
            due = now + max(FIRST_DRAWING_SECONDS, (now - start) / DRAWING_SHARE)

    def draw_last() -> None:
        if not is_current:
            draw(trainer.output_folder)

    trainer.logger.plot_progress_png = plot_progress_png
    return draw_last
