"""Attaches what people asked to watch to a trainer of any class: nothing of it changes what the training does.

The training thread only measures, copies and predicts; another one draws and writes. What fails is told of and left
out from then on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.fold.iterations import batches_path, epoch_values
from nnunet_assets.core.fold.journal import append_record, truncate_after_epoch
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.panel import Panel, panel_pixels
from nnunet_assets.core.training.panel_files import forget_panels, panel_path
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.watching.background import Background
from nnunet_assets.nnunet.watching.epoch_logger import EpochLogger
from nnunet_assets.nnunet.watching.fixed_slices import FixedSlices
from nnunet_assets.nnunet.watching.histograms import copied_tensors
from nnunet_assets.nnunet.watching.iteration_meter import IterationMeter
from nnunet_assets.nnunet.watching.panel_picture import panel_picture
from nnunet_assets.nnunet.watching.tensorboard_logger import TensorBoardLogger


class Watcher:
    """Has a training watched, from before it begins to its end.

    Args:
        trainer: Not yet training; its epochs so far are those of its checkpoint.
        watch: What is asked for.
        journal: Takes the series of each epoch.
        board: Takes what TensorBoard shows; None: it shows nothing.
        progress: Hears of spikes, and of what could not be watched.
    """

    def __init__(
        self,
        trainer: NnunetTrainer,
        watch: Watch,
        *,
        journal: EpochLogger,
        board: TensorBoardLogger | None,
        progress: Progress,
    ) -> None:
        self._trainer, self._watch, self._progress = trainer, watch, progress
        self._journal, self._board = journal, board
        self._folder = Path(trainer.output_folder)
        self._background = Background()
        self._slices: FixedSlices | None = None
        self._left_out: set[str] = set()
        self._forget_later_epochs()
        if board and watch.comment and board.is_first:
            board.take_text("comment", watch.comment)
        if watch.steps:
            self._meter = IterationMeter(trainer, progress)
            self._before_epoch_end(self._take_iterations, "iterations")
        if board and watch.histograms_every:
            self._before_epoch_end(self._take_histograms, "histograms")
        if watch.panels:
            trainer.on_validation_epoch_end = self._both(self._take_panels, "panels", trainer.on_validation_epoch_end)

    def wait(self) -> None:
        """Waits until what is watched of the epochs so far is on the disk."""
        self._background.wait()
        if self._board:
            self._board.wait()

    def close(self) -> None:
        """Ends the writing; says what could not be written."""
        if n_failed := self._background.close():
            self._progress.say(f"{n_failed} times what is watched could not be written; it has gaps there.")

    def _forget_later_epochs(self) -> None:
        """Cuts back what an earlier process wrote of epochs that are trained again."""
        batches = batches_path(self._folder)
        if batches.exists():
            truncate_after_epoch(batches, self._trainer.current_epoch)
        forget_panels(self._folder, self._trainer.current_epoch)

    def _before_epoch_end(self, take: Callable[[], None], what: str) -> None:
        self._trainer.on_train_epoch_end = self._both(take, what, self._trainer.on_train_epoch_end)

    def _both(
        self, take: Callable[[], None], what: str, then: Callable[[list[Any]], None]
    ) -> Callable[[list[Any]], None]:
        """Returns what takes something that is watched, and then does what the trainer does."""

        def both(outputs: list[Any]) -> None:
            if what not in self._left_out:
                try:
                    take()
                except Exception as error:  # noqa: BLE001 (whatever a network of somebody's own does: it trains on)
                    self._left_out.add(what)
                    self._progress.warn(f"The {what} cannot be watched ({type(error).__name__}: {error}).")
            then(outputs)

        return both

    def _is_due(self, every: int) -> bool:
        """Says whether this epoch is one of those that are looked at: the first, each so many-th, and the last."""
        epoch = self._trainer.current_epoch
        return epoch % every == 0 or epoch == self._trainer.num_epochs - 1

    def _take_iterations(self) -> None:
        epoch, series = self._trainer.current_epoch, self._meter.take()
        for name, value in epoch_values(series).items():
            for logger in filter(None, (self._journal, self._board)):
                logger.log(name, value, epoch)
        if self._watch.batches:
            self._background.submit(append_record, batches_path(self._folder), "epoch", series, epoch)
            if self._board:
                self._board.take_batches(epoch, series)

    def _take_histograms(self) -> None:
        if self._board and self._is_due(self._watch.histograms_every or 1):
            self._board.wait_for_histograms()
            self._board.take_histograms(self._trainer.current_epoch, copied_tensors(self._trainer.network))

    def _take_panels(self) -> None:
        if self._is_due(self._watch.panels_every):
            if self._slices is None:
                self._slices = FixedSlices(self._trainer, self._watch.panels)
            self._background.submit(self._draw, self._trainer.current_epoch, self._slices.panels())

    def _draw(self, epoch: int, panels: list[Panel]) -> None:
        rows = [(panel.case, panel_pixels(panel)) for panel in panels]
        if self._board:
            for case, pixels in rows:
                self._board.take_picture(f"panels/{case}", epoch, pixels)
        place = panel_path(self._folder, epoch)
        place.parent.mkdir(exist_ok=True)
        write_atomically(place, panel_picture(rows, epoch))
