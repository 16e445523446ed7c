"""The process that trains one fold: `python -m nnunet_assets.nnunet.training.fold_process FOLDER PARENT_PID`.

It drives nnU-Net by nnU-Net's own functions, in the folder that `nnUNetv2_train` would use, and adds one hidden
folder: `.nnunet_assets/` with request, output, journal, manifest and, last of all, COMMIT. It knows no MLflow; what
Dagster should say, it says through Pipes where it was started through Pipes. A fold that trains on several GPUs has a
process for each below this one (see `ranks`), which then only waits for them.
"""

import platform
import resource
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import load_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import (
    COMMIT_FILE,
    RESULT_FILES,
    Manifest,
    commit_fold,
    read_committed,
)
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.journal import (
    Record,
    append_record,
    journal_path,
    now_ms,
    readable_until_epoch,
    write_records,
)
from nnunet_assets.core.fold.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets.core.fold.training_options import TrainingOptions
from nnunet_assets.core.fold.validation_again import (
    OUTPUT_FOLDER,
    begin_again,
    commit_again,
    name_final_places,
    written_again,
)
from nnunet_assets.core.fold.version_history import read_stages
from nnunet_assets.nnunet.checkpoints.checkpoints import (
    BEST,
    FINAL,
    forget_previous_checkpoint,
    is_own_checkpoint,
    newest_checkpoint,
    note_saved_epochs,
    random_state_of,
    save_checkpoints_safely,
    set_odd_best_aside,
)
from nnunet_assets.nnunet.checkpoints.pretrained import load_pretrained_weights
from nnunet_assets.nnunet.checkpoints.random_state import make_deterministic, restore_before_first_epoch, seed_training
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.training.costs import draw_progress_rarely, export_in_threads
from nnunet_assets.nnunet.training.devices import device_name, resolve_device
from nnunet_assets.nnunet.training.journal_logger import JournalLogger
from nnunet_assets.nnunet.training.model_files import write_model_files_whole
from nnunet_assets.nnunet.training.parameters import package_versions, training_parameters
from nnunet_assets.nnunet.training.ranks import Rank, run_ranks, settings_of_whole_batch
from nnunet_assets.nnunet.training.stopping import check_time_left, earlier_end, stop_early, train
from nnunet_assets.nnunet.training.tensorboard_logger import TensorBoardLogger, require_tensorboard
from nnunet_assets.nnunet.training.trainer import build_trainer, label_names, validation_cases
from nnunet_assets.nnunet.training.validation_series import validation_series
from nnunet_assets.nnunet.training.whole_predictions import read_back_predictions
from nnunet_assets.processes.child import ChildFailure, child_main
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.reporter import epoch_line, reporter

if TYPE_CHECKING:
    import torch

RANK_MODULE = "nnunet_assets.nnunet.training.rank_process"


def train_fold(request: FoldAttempt) -> None:
    """Trains, validates and commits a fold, in as many processes as the request says."""
    with ExitStack() as stack:
        say = reporter(stack)
        fold_folder, options, place = request.fold_folder, request.options, request.meeting_folder
        if options.tensorboard:
            require_tensorboard()
        checkpoint = newest_checkpoint(fold_folder, say)
        _check_options(options, request.fold, checkpoint)
        if place is None:
            train_as_rank(request, checkpoint, Rank(), say)
        else:
            run_ranks(RANK_MODULE, options.num_gpus, fold_folder / OWN_FOLDER, checkpoint, say, meeting_folder=place)
        say(f"{request.fold} is finished.")


def train_as_rank(request: FoldAttempt, checkpoint: Path | None, rank: Rank, say: Callable[[str], None]) -> None:
    """Trains and validates a fold as one of the processes that do; the first commits it.

    Args:
        request: What `train_fold` was asked for.
        checkpoint: What to go on from, the same for all; None: from the beginning.
        rank: Which of the processes this is.
        say: Takes sentences for whoever follows the fold.
    """
    started = datetime.now(UTC)
    # A wait for a GPU and the supervisor's earlier starts count too: what limits the time is the run's end.
    began = time.monotonic()
    start = began - request.waited_seconds
    fold_folder, options = request.fold_folder, request.options
    # Finished, and validated again: until that is done it stays as it is, its journal and its COMMIT too.
    earlier = read_committed(fold_folder) if _is_final(checkpoint) else None
    device = resolve_device(request.device)
    if options.deterministic:
        make_deterministic()
    if options.seed is not None:
        seed_training(options.seed + rank.number)
    export_in_threads()
    write_model_files_whole()
    rank.join(request.experiment.trainer, device)
    trainer = build_trainer(request, device, is_resumed=checkpoint is not None)
    read_back_predictions(trainer.plans_manager.image_reader_writer_class)
    whole_batch = settings_of_whole_batch(trainer)
    if checkpoint:
        trainer.load_checkpoint(str(checkpoint))
        # It is the first one's: another one that went on from it would draw the same patches.
        if rank.is_first and (state := random_state_of(fold_folder, checkpoint)) is not None:
            restore_before_first_epoch(trainer, state)
    elif options.pretrained_weights:
        load_pretrained_weights(trainer, Path(options.pretrained_weights))
    is_trained = _is_final(checkpoint)
    if not is_trained:
        check_time_left(trainer, fold_folder, options, start)
    say(f"{request.fold} on {rank.count_of(device_name(device))}: {_plan_of(trainer, is_trained=is_trained)}")
    logger = _open_journal(trainer, request, whole_batch, say) if rank.is_first and earlier is None else None
    stopped = _train(trainer, options, rank, logger, say, start=start, is_trained=is_trained)
    say("Training is done; predicting and scoring the validation cases.")
    validation_seconds = _validate(trainer, options, rank, is_again=earlier is not None)
    if rank.is_first:
        with written_again(trainer) if earlier else nullcontext():
            series = validation_series(trainer, request.experiment, request.fold)
        if earlier is None:
            append_record(journal_path(fold_folder), "end", series)
        set_odd_best_aside(fold_folder, say)
        seconds = {"training": _training_seconds(trainer), "validation": validation_seconds}
        scored_in = fold_folder / OUTPUT_FOLDER if earlier else fold_folder
        manifest = _manifest(trainer, request, device, (started, began), seconds, scored_in=scored_in)
        manifest = replace(manifest, details={**manifest.details, "stopped_early": stopped})
        if earlier is None:
            commit_fold(fold_folder, manifest)
        else:
            records = _records_so_far(trainer, request, whole_batch, say)
            commit_again(fold_folder, _manifest_again(earlier, manifest), records, series)
        forget_previous_checkpoint(fold_folder)
    rank.leave()


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
    options: TrainingOptions,
    rank: Rank,
    logger: JournalLogger | None,
    say: Callable[[str], None],
    *,
    start: float,
    is_trained: bool,
) -> str | None:
    """Trains what is missing; returns why it ended early, None: it did not."""
    fold_folder = Path(trainer.output_folder)
    if is_trained:
        if logger:  # a kill may have come between the final checkpoint and the note of it
            note_saved_epochs(fold_folder, trainer.current_epoch)
        return earlier_end(trainer, fold_folder)
    close = _keep_records(trainer, options, logger, say) if logger else lambda: None
    stop_early(trainer, fold_folder, options, start, agree=rank.agree)
    stopped = train(trainer, say)
    close()
    if rank.is_first:  # another process may do the rest
        write_json_atomically(_peak_file(fold_folder), peak_memory(fold_folder, trainer.device))
    return stopped


def _keep_records(
    trainer: NnunetTrainer, options: TrainingOptions, logger: JournalLogger, say: Callable[[str], None]
) -> Callable[[], None]:
    """Makes the trainer write safe checkpoints and the curves; returns what ends that."""
    fold_folder = Path(trainer.output_folder)
    board = TensorBoardLogger(fold_folder, label_names(trainer), trainer.current_epoch) if options.tensorboard else None
    trainer.logger.loggers.extend([board] if board else [])
    save_checkpoints_safely(trainer, fold_folder, minutes=options.checkpoint_minutes, wait_for_journal=logger.wait)
    draw_last = draw_progress_rarely(trainer)

    def close() -> None:
        draw_last()
        n_lost = logger.close()
        if n_lost:
            say(f"{n_lost} epochs could not be written to the journal; their curves will have gaps.")
        if logger.n_refused:
            say(f"{logger.n_refused} values that the trainer logged are no numbers, and are not in the curves.")
        if board and (n_lost := board.close()):
            say(f"{n_lost} epochs could not be written for TensorBoard; their curves will have gaps there.")

    return close


def _manifest_again(earlier: Manifest, now: Manifest) -> Manifest | None:
    """Returns the manifest of a fold that was finished already; None: with the same result it is the same fold.

    What was made of it (a summary, a cascade's next stage) stays up to date then. What its training was stays as it is.
    """
    if now.has_same_result(earlier):
        return None
    details = {**now.details, "stopped_early": earlier.details.get("stopped_early"), "validated_on": now.device}
    return replace(now, device=earlier.device, peak_memory_bytes=earlier.peak_memory_bytes, details=details)


def _open_journal(
    trainer: NnunetTrainer, request: FoldAttempt, whole_batch: Mapping[str, Any], say: Callable[[str], None]
) -> JournalLogger:
    """Cuts the journal back to the epochs that the trainer has and attaches it to the trainer."""
    journal = journal_path(Path(trainer.output_folder))
    write_records(journal, _records_so_far(trainer, request, whole_batch, say))

    def report(epoch: int, values: Mapping[str, float]) -> None:
        say(epoch_line(epoch, trainer.num_epochs, values))

    logger = JournalLogger(journal, label_names(trainer), report)
    trainer.logger.loggers.append(logger)
    return logger


def _records_so_far(
    trainer: NnunetTrainer, request: FoldAttempt, whole_batch: Mapping[str, Any], say: Callable[[str], None]
) -> list[Record]:
    """Returns the journal's start, made where there is none, and the epochs that the trainer has."""
    records, n_lost = readable_until_epoch(journal_path(Path(trainer.output_folder)), trainer.current_epoch)
    if n_lost:
        say(f"Damaged lines cost the journal {n_lost} of {trainer.current_epoch} epochs: the curves have gaps there.")
    if records and records[0].kind == "start":
        return records
    if not trainer.was_initialized:
        trainer.initialize()  # whose network, loss and optimizer are what there is to know
    params = training_parameters(
        trainer, request.experiment, request.fold, overrides=request.overrides, options=request.options
    )
    for group, values in whole_batch.items():
        params[group] = {**params[group], **values}
    return [Record("start", now_ms(), None, {"attempt": request.attempt, "params": params}), *records]


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


def _training_seconds(trainer: NnunetTrainer) -> float:
    """Returns the sum over the epochs: an interrupted fold was trained by more than one process."""
    # Around damaged lines, which the journal of a fold that is validated again still has.
    records, _ = readable_until_epoch(journal_path(Path(trainer.output_folder)), trainer.current_epoch)
    return round(sum(record.values.get("epoch_seconds") or 0.0 for record in records if record.kind == "epoch"), 3)


def _manifest(
    trainer: NnunetTrainer,
    request: FoldAttempt,
    device: "torch.device",
    began: tuple[datetime, float],
    seconds: Mapping[str, float],
    *,
    scored_in: Path,
) -> Manifest:
    fold_folder = Path(trainer.output_folder)
    started, clock = began
    results = {name: (scored_in if name == SUMMARY_FILE else fold_folder) / name for name in RESULT_FILES}
    ended = started + timedelta(seconds=time.monotonic() - clock)  # the clock may have been set since
    return Manifest(
        fold=request.fold,
        inputs=request.inputs,
        versions=package_versions(),
        device=device_name(device),
        seconds=seconds,
        n_epochs=trainer.current_epoch,
        peak_memory_bytes=peak_memory(fold_folder, device),
        # Without checkpointing there is no final one.
        files={name: file_sha256(file) for name, file in results.items() if file.is_file()},
        details={
            "attempt": request.attempt,
            "stages": [asdict(stage) for stage in read_stages(fold_folder)],
            "experiment": asdict(request.experiment),
            "overrides": dict(request.overrides),
            "options": asdict(request.options),
            "validation_cases": validation_cases(trainer),
            "dagster_run_id": request.dagster_run_id,
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "started": started.isoformat(),
            "ended": ended.isoformat(),
        },
        scores=scores_digest(results[SUMMARY_FILE].read_bytes()),
    )


def peak_memory(fold_folder: Path, device: "torch.device") -> dict[str, int]:
    """Returns the most that this process took or, where that was more, the one that ended the training."""
    # Linux counts kibibytes, macOS bytes. Children: the largest one of the waited-for workers.
    unit = 1 if platform.system() == "Darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    peak = {"host": own, "largest_worker": workers}
    if device.type == "cuda":
        import torch

        peak["gpu"] = torch.cuda.max_memory_allocated(device)
    file = _peak_file(fold_folder)
    of_training = load_json(file) if file.exists() else {}
    return {kind: max(peak.get(kind, 0), of_training.get(kind, 0)) for kind in {**peak, **of_training}}


def _peak_file(fold_folder: Path) -> Path:
    return fold_folder / OWN_FOLDER / "peak_memory.json"


if __name__ == "__main__":
    child_main(FoldAttempt, train_fold)
