"""Where the pictures of a fold's validation slices lie: one file for each epoch that was looked at.

On disk: `fold_k/.nnunet_assets/panels/epoch_0010.png`, a row for each case.
"""

import re
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER

PANELS = "panels"


def panel_path(fold_folder: Path, epoch: int) -> Path:
    """Returns where the picture of an epoch lies."""
    return fold_folder / OWN_FOLDER / PANELS / f"epoch_{epoch:04}.png"


def panel_files(fold_folder: Path) -> dict[int, Path]:
    """Returns the pictures that are there by epoch, in their order."""
    found = {
        int(match[1]): path
        for path in (fold_folder / OWN_FOLDER / PANELS).glob("epoch_*.png")
        if (match := re.fullmatch(r"epoch_(\d+)\.png", path.name))
    }
    return dict(sorted(found.items()))


def forget_panels(fold_folder: Path, first_epoch: int) -> None:
    """Deletes the pictures from an epoch on, which is trained again."""
    for epoch, path in panel_files(fold_folder).items():
        if epoch >= first_epoch:
            path.unlink(missing_ok=True)
