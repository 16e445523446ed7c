"""Ending a training before its last epoch, on purpose: no progress, no time left, or somebody asks for it.

nnU-Net knows no such end. The learning rate falls towards 0 at the last of `num_epochs`; a training that ends earlier
ends at a higher rate, as if it were cut off, so that fewer epochs by `num_epochs` are better than fewer by stopping.

On disk: `fold_k/.nnunet_assets/early_end.json`, the reason and after which epoch, written before the final checkpoint:
a process that is killed while it validates leaves it to the next one.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nnunet_assets.core.files.json_file import readable_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER, STOP_FILE
from nnunet_assets.core.fold.commit import Manifest
from nnunet_assets.core.fold.fold import finished_siblings
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.trainer import validation_cases
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

EARLY_END_FILE = f"{OWN_FOLDER}/early_end.json"
"""In a fold's folder."""

RESERVED_SHARE = 0.1
"""The part of a time budget that is kept for the validation where no other fold says how long it takes."""


LEAVING = "The time of the job is nearly over: the training is saved, and the process ends."


class TrainingStopped(Exception):  # noqa: N818 - reads as what happened
    """Leaves nnU-Net's loop after a whole epoch; the message is the reason."""


def check_time_left(trainer: NnunetTrainer, fold_folder: Path, options: TrainingOptions, started: float) -> None:
    """Passes where the time budget still has room for an epoch and the validation, as far as their times are known.

    A wait for a GPU counts, since what limits the time does not wait. A fold that only just began when its time is over
    would be finished after one epoch.

    Args:
        trainer: The trainer, initialized or not.
        fold_folder: nnU-Net's `fold_k`.
        options: The time budget.
        started: When the fold was asked for, on `time.monotonic`'s clock.

    Raises:
        ChildFailure: It has not. Trying again changes nothing where the whole budget would be too little.
    """
    if options.time_budget_minutes is None:
        return
    minutes, used = options.time_budget_minutes, time.monotonic() - started
    others = [fold for _, fold in finished_siblings(fold_folder)]
    needed = _seconds_to_validate(others, minutes, len(validation_cases(trainer))) + _epoch_seconds(fold_folder, others)
    may_take = (
        f"an epoch and the validation may take {needed / 60:.1f} minutes, by what is known of this dataset's folds"
    )
    if needed >= 60 * minutes:
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"The time budget of {minutes:g} minutes is too little: {may_take}. Ask for more.",
        )
    if needed >= 60 * minutes - used:
        raise ChildFailure(
            ExitCode.STOPPED,
            f"Of the time budget of {minutes:g} minutes, {used / 60:.1f} were over before this start, in a wait for a "
            f"GPU or in an earlier one, and {may_take}: it does not begin.",
        )


def stop_early(
    trainer: NnunetTrainer,
    fold_folder: Path,
    options: TrainingOptions,
    started: float,
    *,
    first_epoch: int = 0,
    agree: Callable[[str | None], str | None] = lambda reason: reason,
    leave_file: Path | None = None,
) -> None:
    """Makes the trainer raise `TrainingStopped` at the end of the epoch after which there is a reason to.

    Where `leave_file` is there, the epoch is saved and the process ends, to go on elsewhere.

    Args:
        trainer: The trainer.
        fold_folder: nnU-Net's `fold_k`.
        options: Patience and time budget.
        started: When the fold was asked for, on `time.monotonic`'s clock.
        first_epoch: Of this training; those before are of the one that it continues, and none of them is waited for.
        agree: Takes the reason of this process and returns that of all processes that train the fold, which must not
            end after different epochs: clocks differ, and one may see the stop file an epoch before another.
        leave_file: Made by a cluster's job whose time is nearly over; None: this is none.

    Raises (from the trainer's `on_epoch_end`):
        ChildFailure: The process was asked to leave, and the epoch is saved.
    """
    end_epoch = trainer.on_epoch_end
    minutes = options.time_budget_minutes
    others = [fold for _, fold in finished_siblings(fold_folder)] if minutes is not None else []
    reserved = 0.0 if minutes is None else _seconds_to_validate(others, minutes, len(validation_cases(trainer)))
    ended_at = time.monotonic()

    def on_epoch_end() -> None:
        nonlocal ended_at
        if leave_file and not trainer.disable_checkpointing and trainer.current_epoch + 1 < trainer.num_epochs:
            _leave_if_asked(trainer, leave_file, end_epoch, agree)
        else:
            end_epoch()
        now = time.monotonic()
        epoch_seconds, ended_at = now - ended_at, now
        if trainer.current_epoch >= trainer.num_epochs:
            return
        left = None if minutes is None else 60 * minutes - (now - started)
        reason = agree(
            _asked(fold_folder)
            or _no_progress(trainer, options.patience, first_epoch)
            or (_no_time(left, epoch_seconds, reserved) if left is not None else None)
        )
        if reason:
            raise TrainingStopped(reason)

    trainer.on_epoch_end = on_epoch_end


def _leave_if_asked(
    trainer: NnunetTrainer,
    leave_file: Path,
    end_epoch: Callable[[], None],
    agree: Callable[[str | None], str | None],
) -> None:
    """Ends an epoch that is not the last, and the process after it where it is asked to."""
    leaves = agree(LEAVING if leave_file.exists() else None)
    save_every = trainer.save_every
    if leaves:
        trainer.save_every = 1
    try:
        end_epoch()
    finally:
        trainer.save_every = save_every
    if leaves:
        raise ChildFailure(ExitCode.STOPPED, f"{leaves} It goes on after epoch {trainer.current_epoch - 1}.")


def train(trainer: NnunetTrainer, progress: Progress) -> str | None:
    """Trains to the last epoch, or to an earlier end; returns the reason for that, None: there was none."""
    try:
        trainer.run_training()
    except TrainingStopped as stop:
        reason = f"{stop} (after {trainer.current_epoch} of {trainer.num_epochs} epochs)"
        progress.say(f"The training ends early: {reason}.")
        fold_folder = Path(trainer.output_folder)
        # By each process that trains the fold: all of them agreed on the reason.
        write_json_atomically(fold_folder / EARLY_END_FILE, {"epoch": trainer.current_epoch, "reason": reason})
        trainer.on_train_end()
        (fold_folder / STOP_FILE).unlink(missing_ok=True)
        return reason
    return None


def earlier_end(trainer: NnunetTrainer, fold_folder: Path) -> str | None:
    """Returns why a training that an earlier process finished ended early; None: it went to its last epoch.

    Args:
        trainer: The trainer, as its final checkpoint has it.
        fold_folder: nnU-Net's `fold_k`.
    """
    n_missing = trainer.num_epochs - trainer.current_epoch
    if n_missing <= 0:
        return None
    noted = readable_json(fold_folder / EARLY_END_FILE)  # an older version of this package wrote none
    # That of another epoch is of a process that was killed before its final checkpoint.
    if noted.get("epoch") == trainer.current_epoch:
        return str(noted.get("reason", "for a reason that is not noted"))
    return f"{n_missing} epochs early, in an earlier process"


def _asked(fold_folder: Path) -> str | None:
    return f"{STOP_FILE} asked for it" if (fold_folder / STOP_FILE).exists() else None


def _no_progress(trainer: NnunetTrainer, patience: int | None, first_epoch: int) -> str | None:
    if patience is None:
        return None
    ema = trainer.logger.get_value("ema_fg_dice", step=None)
    # An epoch without a pseudo Dice is no progress, and no lack of it.
    defined = [epoch for epoch, value in enumerate(ema) if epoch >= first_epoch and not math.isnan(value)]
    if not defined:
        return None
    best = max(defined, key=ema.__getitem__)
    n_since = sum(epoch > best for epoch in defined)
    if n_since < patience:
        return None
    n_ago = len(ema) - 1 - best
    of_these = "" if n_ago == n_since else f", {n_since} of them with a pseudo Dice"
    return f"the moving average of the pseudo Dice was best in epoch {best}, {n_ago} epochs ago{of_these}"


def _no_time(left_seconds: float, epoch_seconds: float, reserved_seconds: float) -> str | None:
    if left_seconds >= epoch_seconds + reserved_seconds:
        return None
    return f"the time budget leaves {max(0, left_seconds):.0f} s, which the validation may need"


def _seconds_to_validate(others: Sequence[Manifest], budget_minutes: float, n_cases: int) -> float:
    """Returns half as much again as the slowest other fold took for as many cases."""
    siblings = [fold for fold in others if fold.details.get("validation_cases")]
    a_case = [fold.seconds["validation"] / len(fold.details["validation_cases"]) for fold in siblings]
    return 1.5 * max(a_case) * n_cases if a_case else RESERVED_SHARE * 60 * budget_minutes


def _epoch_seconds(fold_folder: Path, others: Sequence[Manifest]) -> float:
    """Returns how long the fold's last epoch took, or else one of the slowest other fold; 0: not known."""
    records = read_records(journal_path(fold_folder))
    own = [seconds for record in records if (seconds := record.values.get("epoch_seconds")) is not None]
    slowest = max((fold.seconds["training"] / fold.n_epochs for fold in others if fold.n_epochs), default=0.0)
    return float(own[-1] if own else slowest)
