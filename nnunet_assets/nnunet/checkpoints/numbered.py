"""Checkpoints that stay: one every so many epochs, under its number, of which the newest few are kept.

`checkpoint_epoch_0050.pth` is a training after 50 epochs, in nnU-Net's form: `nnUNetv2_predict -chk` takes it, and a
training whose other checkpoints are lost goes on from it. It is written as every checkpoint is, beside its place and
flushed; only then the oldest goes. So a kill at any moment leaves as many as are to be kept, or one more, which the
next one that is written takes along.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from nnunet_assets.core.progress import Progress
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer

_NUMBERED = re.compile(r"checkpoint_epoch_([0-9]{4,})\.pth")


def numbered_name(n_epochs: int) -> str:
    """Returns the name of the checkpoint after so many epochs."""
    return f"checkpoint_epoch_{n_epochs:04d}.pth"


def is_numbered(name: str) -> bool:
    """Says whether a file is called as one of them is."""
    return _NUMBERED.fullmatch(name) is not None


def numbered_checkpoints(fold_folder: Path) -> Iterator[tuple[int, Path]]:
    """Yields number and file of each that is there, the oldest first."""
    found = ((_NUMBERED.fullmatch(path.name), path) for path in fold_folder.glob("checkpoint_epoch_*.pth"))
    yield from sorted((int(match[1]), path) for match, path in found if match and path.is_file())


def keep_numbered(trainer: NnunetTrainer, fold_folder: Path, *, every: int, kept: int, progress: Progress) -> None:
    """Makes the trainer write one at the end of every so many epochs, and remove those that are older than the newest.

    After `save_checkpoints_safely`, by whose way they are written.

    Args:
        trainer: The trainer.
        fold_folder: nnU-Net's `fold_k`.
        every: In epochs.
        kept: How many stay.
        progress: Hears once what they take on the disk.
    """
    end_epoch = trainer.on_epoch_end
    is_said = False

    def on_epoch_end() -> None:
        nonlocal is_said
        end_epoch()
        n_epochs = trainer.current_epoch
        if n_epochs % every:
            return
        file = fold_folder / numbered_name(n_epochs)
        trainer.current_epoch -= 1  # nnU-Net's own are written before it counts the epoch
        try:
            trainer.save_checkpoint(str(file))
        finally:
            trainer.current_epoch += 1
        remove_older(fold_folder, n_epochs, kept)
        if not is_said and file.is_file():
            is_said, size = True, file.stat().st_size
            progress.say(
                f"{file.name} is kept ({bytes_text(size)}), as one every {every} epochs, and of them the newest "
                f"{kept}: {bytes_text(kept * size)} at most."
            )

    trainer.on_epoch_end = on_epoch_end


def remove_older(fold_folder: Path, n_epochs: int, kept: int) -> None:
    """Removes the numbered checkpoints up to an epoch but for the newest.

    Those of later epochs, of a training that was set back, are written anew when it gets there.
    """
    numbered = [path for number, path in numbered_checkpoints(fold_folder) if number <= n_epochs]
    for path in numbered[:-kept]:
        path.unlink(missing_ok=True)
