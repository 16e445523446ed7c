"""What has to change in a trainer, bound to the one instance that trains; its class stays nnU-Net's own.

A subclass would change the folder's name and `checkpoint['trainer_name']`, and nnU-Net's own tools could not load
the result any more.
"""

import difflib
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.core.provenance import fsync_folder
from nnunet_assets.nnunet.child import ChildFailure

MAX_DIVERGED_ITERATIONS = 20
"""A gradient scaler skips a few overflowing steps while it adapts; more in a row is divergence."""


def apply_overrides(trainer: Any, overrides: Mapping[str, Any]) -> None:
    """Sets hyperparameters on the trainer, before it is initialized.

    Raises:
        ChildFailure: The trainer has no such attribute, so that setting it would change nothing.
    """
    for name, value in overrides.items():
        if not hasattr(trainer, name):
            near = difflib.get_close_matches(name, vars(trainer), n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise ChildFailure(
                ExitCode.BAD_INPUT, f"Trainer {type(trainer).__name__} has no hyperparameter {name!r}.{hint}"
            )
        setattr(trainer, name, value)


def save_checkpoints_atomically(trainer: Any, *, wait_for_journal: Callable[[], None] = lambda: None) -> None:
    """Makes the trainer write each checkpoint beside its place and rename it there.

    nnU-Net saves straight onto the file (`nnUNetTrainer.save_checkpoint`): a kill or a full disk in the middle
    destroys the good checkpoint of before.

    Args:
        trainer: The trainer.
        wait_for_journal: Called before each rename. A fold resumes after the last epoch of its checkpoint: an epoch
            that the journal does not have by then would never get there.
    """
    save = trainer.save_checkpoint

    def save_checkpoint(filename: str) -> None:
        place = Path(filename)
        temporary = _temporary(place)
        temporary.unlink(missing_ok=True)  # what a kill left is torn
        try:
            _save(save, temporary)
            if not temporary.exists():  # checkpointing is disabled, or this is not rank 0
                return
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            wait_for_journal()
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(place.parent)

    trainer.save_checkpoint = save_checkpoint


def remove_torn_checkpoints(fold_folder: Path) -> None:
    """Removes what attempts left that were killed while they wrote a checkpoint."""
    for torn in fold_folder.glob(_temporary(Path("*")).name):
        torn.unlink()


def _temporary(place: Path) -> Path:
    return place.with_name(f".{place.name}.part")


def _save(save: Callable[[str], None], path: Path) -> None:
    try:
        save(str(path))
    except RuntimeError as error:
        # torch's own writer hides the errno of a failed write behind these.
        if not any(text in str(error) for text in ("inline_container", "iostream error")):
            raise
        raise ChildFailure(
            ExitCode.NO_SPACE,
            f"A checkpoint could not be written to {path.parent}, most often because no space is left on the disk. The "
            f"last checkpoint stands. ({str(error).splitlines()[0]})",
        ) from error


def stop_when_diverged(trainer: Any) -> None:
    """Ends the training when the loss is not a number for many iterations in a row.

    nnU-Net would train on to the end and report a Dice of 0 with exit code 0.
    """
    step = trainer.train_step
    diverged = 0

    def train_step(batch: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal diverged
        output: dict[str, Any] = step(batch)
        # The loss is on the host already: nnU-Net's own step copied it there, so that looking costs no synchronisation.
        diverged = 0 if math.isfinite(output["loss"]) else diverged + 1
        if diverged >= MAX_DIVERGED_ITERATIONS:
            raise ChildFailure(
                ExitCode.DIVERGED,
                f"The loss was not a number for {diverged} iterations in a row in epoch {trainer.current_epoch} "
                f"(learning rate {trainer.optimizer.param_groups[0]['lr']:.3g}). Lower initial_lr, or look for broken "
                "intensities in the training cases. The last checkpoint stands.",
            )
        return output

    trainer.train_step = train_step
