"""Whether a disk has room for what is certainly needed, asked before hours of work.

Only what must fail is refused: a disk that several fill may still be full before the work is done.
"""

import shutil
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.text.numbers import apart

CHECKPOINTS_AT_ONCE = 3
"""The latest, the best, and the one that is being written beside them."""


def lacking_room(folder: Path, needed_bytes: int, what: str) -> str | None:
    """Returns a sentence where the disk has too little room; None: it may have enough.

    Args:
        folder: One that is there.
        needed_bytes: What is certainly needed.
        what: Begins the sentence.
    """
    free = shutil.disk_usage(folder).free
    if free >= needed_bytes:
        return None
    needed_gb, free_gb = apart(needed_bytes / 1e9, free / 1e9, 2)
    return f"{what} at least {needed_gb} GB on the disk, and {free_gb} GB are free at {folder}."


def needed_checkpoint_bytes(fold_folder: Path, n_kept: int = 0) -> int:
    """Returns what the checkpoints of a fold take beyond those that it has; 0 where no fold of its model has one.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        n_kept: How many stay beside those that every training has.
    """
    sizes = (path.stat().st_size for path in fold_folder.parent.glob("fold_*/checkpoint_*.pth"))
    own = [*fold_folder.glob("checkpoint_*.pth"), *(fold_folder / OWN_FOLDER).glob("checkpoint_*.pth")]
    return max(0, (CHECKPOINTS_AT_ONCE + n_kept) * max(sizes, default=0) - sum(path.stat().st_size for path in own))
