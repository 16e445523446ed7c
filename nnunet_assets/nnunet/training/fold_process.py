"""The process that trains one fold: `python -m nnunet_assets.nnunet.training.fold_process FOLDER PARENT_PID`.

It drives nnU-Net by nnU-Net's own functions, in the folder that `nnUNetv2_train` would use, and adds one hidden
folder: `.nnunet_assets/` with request, output, journal, manifest and, last of all, COMMIT. It knows no MLflow; what
Dagster should say, it says through Pipes where it was started through Pipes. A fold that trains on several GPUs has a
process for each below this one (see `ranks`), which then only waits for them.
"""

import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.clock import steady_seconds
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import COMMIT_FILE, commit_fold, read_committed
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.fold.validation_again import (
    OUTPUT_FOLDER,
    begin_again,
    commit_again,
    name_final_places,
    written_again,
)
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.checkpoints.checkpoints import (
    BEST,
    FINAL,
    forget_previous_checkpoint,
    is_own_checkpoint,
    newest_checkpoint,
    note_saved_epochs,
    random_state_of,
    set_odd_best_aside,
)
from nnunet_assets.nnunet.checkpoints.pretrained import load_pretrained_weights
from nnunet_assets.nnunet.checkpoints.random_state import make_deterministic, restore_before_first_epoch, seed_training
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.devices import device_name, resolve_device
from nnunet_assets.nnunet.trainer.trainer import build_trainer
from nnunet_assets.nnunet.trainer.whole_predictions import read_back_predictions, score_predictions_alone
from nnunet_assets.nnunet.training.best_weights import end_with_best_weights
from nnunet_assets.nnunet.training.continuation import go_on_from
from nnunet_assets.nnunet.training.costs import export_in_threads
from nnunet_assets.nnunet.training.fold_manifest import manifest_again, manifest_of, note_peak_memory
from nnunet_assets.nnunet.training.journal_logger import JournalLogger, open_journal, records_so_far
from nnunet_assets.nnunet.training.kept_records import keep_records
from nnunet_assets.nnunet.training.model_files import write_model_files_whole
from nnunet_assets.nnunet.training.ranks import Rank, run_ranks, settings_of_whole_batch
from nnunet_assets.nnunet.training.stopping import check_time_left, earlier_end, stop_early, train
from nnunet_assets.nnunet.training.validation_passes import write_validation_work
from nnunet_assets.nnunet.training.validation_series import validation_series
from nnunet_assets.nnunet.watching.board import write_results
from nnunet_assets.nnunet.watching.health import tell_of_broken_batches
from nnunet_assets.nnunet.watching.tensorboard_logger import require_tensorboard
from nnunet_assets.processes.child import LEAVE_FILE, ChildFailure, child_main
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.reporter import PRINTED, reporter

if TYPE_CHECKING:
    import torch

RANK_MODULE = "nnunet_assets.nnunet.training.rank_process"


def train_fold(request: FoldAttempt) -> None:
    """Trains, validates and commits a fold, in as many processes as the request says."""
    with reporter() as progress:
        fold_folder, options, place = request.fold_folder, request.options, request.meeting_folder
        if options.tensorboard:
            require_tensorboard()
        checkpoint = newest_checkpoint(fold_folder, progress)
        _check_options(options, request.fold, checkpoint)
        if place is None:
            train_as_rank(request, checkpoint, Rank(), progress)
        else:
            own = request.own_folder or fold_folder / OWN_FOLDER
            run_ranks(RANK_MODULE, options.num_gpus, own, checkpoint, progress, meeting_folder=place)
        progress.say(f"{request.fold} is finished.")


def train_as_rank(request: FoldAttempt, checkpoint: Path | None, rank: Rank, progress: Progress) -> None:
    """Trains and validates a fold as one of the processes that do; the first commits it.

    Args:
        request: What `train_fold` was asked for.
        checkpoint: What to go on from, the same for all; None: from the beginning.
        rank: Which of the processes this is.
        progress: Hears how far it is.
    """
    born = datetime.now(UTC), steady_seconds()
    # A wait for a GPU and the supervisor's earlier starts count too: what limits the time is the run's end.
    began = time.monotonic()
    start = began - request.waited_seconds
    fold_folder, options = request.fold_folder, request.options
    # Finished, and validated again: until that is done it stays as it is, its journal and its COMMIT too.
    earlier = read_committed(fold_folder) if _is_final(checkpoint) else None
    device = resolve_device(request.device)
    trainer, whole_batch = _ready_trainer(request, checkpoint, rank, device, progress)
    is_trained = _is_final(checkpoint)
    if not is_trained:
        check_time_left(trainer, fold_folder, options, start)
        # Each process has batches of its own, and what is not said to Dagster is in the fold's output.
        tell_of_broken_batches(trainer, progress if rank.is_first else PRINTED)
    progress.say(f"{request.fold} on {rank.count_of(device_name(device))}: {_plan_of(trainer, is_trained=is_trained)}")
    logger = open_journal(trainer, request, whole_batch, progress) if rank.is_first and earlier is None else None
    if rank.is_first:
        write_validation_work(trainer)
    leave_file = request.own_folder / LEAVE_FILE if request.own_folder else None
    stopped = _train(
        trainer, request, rank, logger, progress, start=start, is_trained=is_trained, leave_file=leave_file
    )
    progress.say("Training is done; predicting and scoring the validation cases.")
    validation_seconds = _validate(trainer, options, rank, is_again=earlier is not None)
    if rank.is_first:
        with written_again(trainer) if earlier else nullcontext():
            series = validation_series(trainer, request.experiment, request.fold)
        if earlier is None:
            append_record(journal_path(fold_folder), "end", series)
        if write_results(trainer, request, series):
            progress.say("The scores could not be written for TensorBoard.")
        set_odd_best_aside(fold_folder, progress)
        manifest = manifest_of(
            trainer,
            request,
            device,
            born,
            validation_seconds=validation_seconds,
            scored_in=fold_folder / OUTPUT_FOLDER if earlier else fold_folder,
            stopped_early=stopped,
        )
        if earlier is None:
            commit_fold(fold_folder, manifest)
        else:
            records = records_so_far(trainer, request, whole_batch, progress)
            commit_again(fold_folder, manifest_again(earlier, manifest), records, series)
        forget_previous_checkpoint(fold_folder)
    rank.leave()


def _ready_trainer(
    request: FoldAttempt, checkpoint: Path | None, rank: Rank, device: "torch.device", progress: Progress
) -> tuple[NnunetTrainer, Mapping[str, Any]]:
    """Returns the trainer with the weights that it begins with, and the settings that its ranks share."""
    fold_folder, options = request.fold_folder, request.options
    if options.deterministic:
        make_deterministic()
    if options.seed is not None:
        seed_training(options.seed + rank.number)
    export_in_threads()
    write_model_files_whole()
    rank.join(request.experiment.trainer, device)
    trainer = build_trainer(request, device, is_resumed=checkpoint is not None)
    read_back_predictions(trainer.plans_manager.image_reader_writer_class)
    score_predictions_alone()
    whole_batch = settings_of_whole_batch(trainer)
    if checkpoint:
        trainer.load_checkpoint(str(checkpoint))
        # It is the first one's: another one that went on from it would draw the same patches.
        if rank.is_first and (state := random_state_of(fold_folder, checkpoint)) is not None:
            restore_before_first_epoch(trainer, state)
    elif request.continued:
        go_on_from(trainer, request.continued, progress if rank.is_first else SILENT)
    elif options.pretrained_weights:
        load_pretrained_weights(trainer, Path(options.pretrained_weights))
    return trainer, whole_batch


def _is_final(checkpoint: Path | None) -> bool:
    return checkpoint is not None and checkpoint.name == FINAL


def _check_options(options: TrainingOptions, fold: str, checkpoint: Path | None) -> None:
    """Refuses what cannot be done with what is there.

    Raises:
        ChildFailure: It says what and why.
    """
    is_trained = _is_final(checkpoint)
    problem = None
    if options.validation_only and not is_trained:
        problem = (
            f"Cannot run validation because the training of {fold} is not finished yet: there is no {FINAL}. Train it "
            "first."
        )
    elif options.disable_checkpointing and checkpoint and not is_trained:
        problem = (
            f"{fold} is trained up to {checkpoint.name}, and disable_checkpointing would end it without a model and "
            "without that checkpoint. Leave disable_checkpointing out, or train anew with retrain."
        )
    if problem:
        raise ChildFailure(ExitCode.BAD_INPUT, problem)


def _train(
    trainer: NnunetTrainer,
    request: FoldAttempt,
    rank: Rank,
    logger: JournalLogger | None,
    progress: Progress,
    *,
    start: float,
    is_trained: bool,
    leave_file: Path | None,
) -> str | None:
    """Trains what is missing; returns why it ended early, None: it did not."""
    fold_folder, options = Path(trainer.output_folder), request.options
    if is_trained:
        if logger:  # a kill may have come between the final checkpoint and the note of it
            note_saved_epochs(fold_folder, trainer.current_epoch)
        return earlier_end(trainer, fold_folder)
    close = keep_records(trainer, options, logger, progress) if logger else lambda: None
    first = request.continued.n_epochs if request.continued else 0
    stop_early(trainer, fold_folder, options, start, first_epoch=first, agree=rank.agree, leave_file=leave_file)
    if options.restore_best:
        end_with_best_weights(trainer, progress)
    stopped = train(trainer, progress)
    close()
    if rank.is_first:
        note_peak_memory(fold_folder, trainer.device)
    return stopped


def _plan_of(trainer: NnunetTrainer, *, is_trained: bool) -> str:
    if is_trained:
        return "trained before, only the validation is missing"
    plan = f"{trainer.num_epochs} epochs of {trainer.num_iterations_per_epoch} iterations"
    return f"{plan}, resuming after {trainer.current_epoch} of them" if trainer.current_epoch else plan


def _validate(trainer: NnunetTrainer, options: TrainingOptions, rank: Rank, *, is_again: bool) -> float:
    """Predicts and scores the validation cases, and returns the seconds that it took.

    Args:
        trainer: Trained to its end.
        options: What is asked for.
        rank: Which of the processes this is.
        is_again: The fold is finished, and stays as it is meanwhile.
    """
    start = time.monotonic()
    fold_folder = Path(trainer.output_folder)
    if rank.is_first:
        _make_room_for_validation(fold_folder, options, is_again=is_again)
    rank.wait_for_all()
    if options.val_best:
        n_epochs = trainer.current_epoch
        trainer.load_checkpoint(str(fold_folder / BEST))
        trainer.current_epoch = n_epochs  # the best epoch's, until here
    with written_again(trainer) if is_again else nullcontext():
        trainer.perform_actual_validation(options.npz)
    if is_again and rank.is_first:
        name_final_places(fold_folder)
    return round(time.monotonic() - start, 3)


def _make_room_for_validation(fold_folder: Path, options: TrainingOptions, *, is_again: bool) -> None:
    if options.val_best and not is_own_checkpoint(fold_folder, fold_folder / BEST):
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"{fold_folder / BEST} cannot be validated: it is missing, damaged, or was written by another program. "
            "Leave val_best out.",
        )
    if is_again:
        begin_again(fold_folder)
        return
    # A COMMIT that does not verify: what it vouched for is gone.
    (fold_folder / OWN_FOLDER / COMMIT_FILE).unlink(missing_ok=True)
    # A prediction left by an earlier attempt would be averaged into summary.json by nnU-Net.
    earlier = fold_folder / "validation"
    if earlier.exists():
        shutil.rmtree(earlier)


if __name__ == "__main__":
    child_main(FoldAttempt, train_fold)
