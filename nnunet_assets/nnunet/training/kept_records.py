"""Everything that a training leaves beside its weights, attached to the trainer: safe checkpoints, curves, pictures."""

from collections.abc import Callable
from pathlib import Path

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.checkpoints.checkpoints import save_checkpoints_safely
from nnunet_assets.nnunet.checkpoints.numbered import keep_numbered
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.training.costs import draw_progress_rarely
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.nnunet.watching.board import open_board
from nnunet_assets.nnunet.watching.watcher import Watcher


def keep_records(
    trainer: NnunetTrainer, options: TrainingOptions, logger: JournalLogger, progress: Progress
) -> Callable[[], None]:
    """Makes the trainer write safe checkpoints and the curves; returns what ends that."""
    fold_folder = Path(trainer.output_folder)
    board = open_board(trainer, options)
    trainer.logger.loggers.extend([board] if board else [])
    watcher = Watcher(trainer, options.watch, journal=logger, board=board, progress=progress)

    def wait() -> None:
        logger.wait()
        watcher.wait()

    save_checkpoints_safely(trainer, fold_folder, minutes=options.checkpoint_minutes, wait_for_journal=wait)
    if options.checkpoint_every:
        every, kept = options.checkpoint_every, options.checkpoints_kept
        keep_numbered(trainer, fold_folder, every=every, kept=kept, progress=progress)
    draw_last = draw_progress_rarely(trainer)

    def close() -> None:
        draw_last()
        watcher.close()
        n_lost = logger.close()
        if n_lost:
            progress.say(f"{n_lost} epochs could not be written to the journal; their curves will have gaps.")
        if logger.n_refused:
            progress.say(
                f"{logger.n_refused} values that the trainer logged are no numbers, and are not in the curves."
            )
        if board and (n_lost := board.close()):
            progress.say(f"{n_lost} epochs could not be written for TensorBoard; their curves will have gaps there.")

    return close
