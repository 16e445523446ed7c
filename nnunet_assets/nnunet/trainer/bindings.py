"""What has to change in a trainer, bound to the one instance that trains; its class stays nnU-Net's own.

A subclass would change the folder's name and `checkpoint['trainer_name']`, and nnU-Net's own tools could not load
the result any more.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

if TYPE_CHECKING:
    import torch

PSEUDO_DICE, MOVING_AVERAGE = "mean_fg_dice", "ema_fg_dice"
"""nnU-Net's names in its log."""

MAX_DIVERGED_ITERATIONS = 20
"""A gradient scaler skips a few overflowing steps while it adapts; more in a row is divergence."""


def apply_overrides(trainer: NnunetTrainer, overrides: Mapping[str, Any]) -> None:
    """Sets hyperparameters on the trainer, before it is initialized.

    Raises:
        ChildFailure: The trainer has no such attribute, so that setting it would change nothing, or one of another
            type.
    """
    for name, value in overrides.items():
        if not hasattr(trainer, name):
            near = difflib.get_close_matches(name, vars(trainer), n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise ChildFailure(
                ExitCode.BAD_INPUT, f"Trainer {type(trainer).__name__} has no hyperparameter {name!r}.{hint}"
            )
        own = getattr(trainer, name)
        if own is not None and type(value) is not type(own) and not (type(own) is float and type(value) is int):
            raise ChildFailure(
                ExitCode.BAD_INPUT,
                f"Hyperparameter {name!r} of trainer {type(trainer).__name__} is a {type(own).__name__} ({own!r}); "
                f"{value!r} is a {type(value).__name__}. Correct it in the variant.",
            )
        setattr(trainer, name, value)


def stop_when_diverged(trainer: NnunetTrainer) -> None:
    """Ends the training when the loss is not a number for many iterations in a row, or weights are none.

    nnU-Net would train on to the end and report a Dice of 0 with exit code 0. The weights are looked at before they
    are saved, so that the last checkpoint stays good: a gradient that is no number spoils them before a loss shows it,
    while a loss may be none and the weights good, where a gradient scaler skips the step.
    """
    step, save = trainer.train_step, trainer.save_checkpoint
    diverged, first = 0, ""

    def train_step(batch: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal diverged, first
        output: dict[str, Any] = step(batch)
        # The loss is on the host already: nnU-Net's own step copied it there, so that looking costs no synchronisation.
        diverged = 0 if math.isfinite(output["loss"]) else diverged + 1
        if diverged == 1:
            first = f", first with patches of {', '.join(map(str, batch['keys']))}" if "keys" in batch else ""
        if diverged >= MAX_DIVERGED_ITERATIONS:
            raise ChildFailure(
                ExitCode.DIVERGED,
                f"The loss was not a number for {diverged} iterations in a row in epoch {trainer.current_epoch} "
                f"(learning rate {trainer.optimizer.param_groups[0]['lr']:.3g}){first}. Lower initial_lr, or "
                "look for broken intensities in the training cases. The last checkpoint stands.",
            )
        return output

    def save_checkpoint(filename: str) -> None:
        if not _has_finite_weights(trainer.network):
            raise ChildFailure(
                ExitCode.DIVERGED,
                f"Weights of the network are not numbers any more after epoch {trainer.current_epoch}, and are not "
                "saved. Lower initial_lr, or look for broken intensities in the training cases. The last checkpoint "
                "stands.",
            )
        save(filename)

    trainer.train_step, trainer.save_checkpoint = train_step, save_checkpoint


def choose_best_among_defined(trainer: NnunetTrainer) -> None:
    """Makes an epoch without any pseudo Dice count for nothing, where nnU-Net counts none after it.

    Where the validation patches of an epoch hold no label and none is predicted there, every pseudo Dice is 0 / 0. Its
    NaN stays in nnU-Net's moving average for ever, no later epoch is greater than it, and `checkpoint_best` stays where
    it was. Here the average, which the epoch itself does not have, goes on from the epochs before, and while none has
    been defined yet, the newest epoch is the best. Defined values are nnU-Net's own, to the last bit; so is what the
    checkpoint holds and in what form. One that plain nnU-Net wrote, or an earlier version, goes on in the same way.
    """
    logger, log, save, load = trainer.logger, trainer.logger.log, trainer.save_checkpoint, trainer.load_checkpoint

    def log_defined(key: str, value: Any, step: int) -> None:
        if key == MOVING_AVERAGE and math.isnan(value):
            value = _moving_average(logger.get_value(PSEUDO_DICE, step=None)[: step + 1])
        if key == PSEUDO_DICE and math.isnan(value):
            trainer.print_to_log_file(
                f"Epoch {step} has no pseudo Dice: no label was in its validation patches. The moving average, and the "
                "choice of the best epoch, pass over it."
            )
        log(key, value, step)

    def forget_undefined_best() -> None:
        if trainer._best_ema is not None and math.isnan(trainer._best_ema):
            trainer._best_ema = None

    def save_checkpoint(filename: str) -> None:
        forget_undefined_best()
        save(filename)

    def load_checkpoint(checkpoint: Any) -> None:
        load(checkpoint)
        forget_undefined_best()

    logger.log, trainer.save_checkpoint, trainer.load_checkpoint = log_defined, save_checkpoint, load_checkpoint


def _moving_average(pseudo_dice: Sequence[float]) -> float:
    """Returns nnU-Net's average over the epochs that have a pseudo Dice; NaN where the last one has none."""
    average = math.nan
    for value in pseudo_dice:
        if not math.isnan(value):
            average = value if math.isnan(average) else average * 0.9 + 0.1 * value
    return average if pseudo_dice and not math.isnan(pseudo_dice[-1]) else math.nan


def _has_finite_weights(network: "torch.nn.Module") -> bool:
    # A buffer may be a mask of infinities.
    return all(weights.isfinite().all() for weights in network.parameters()) and not any(
        buffer.isnan().any() for buffer in network.buffers()
    )
