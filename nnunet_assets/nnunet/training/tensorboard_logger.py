"""The curves of a fold for TensorBoard, beside the journal and under the same names; a package that not everybody has.

On disk: `fold_k/.nnunet_assets/tensorboard/`, one event file for each process that trained the fold.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.nnunet.training.epoch_logger import EpochLogger
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode


def require_tensorboard() -> None:
    """Passes where TensorBoard is installed.

    Raises:
        ChildFailure: It is not.
    """
    if find_spec("tensorboard") is None:
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            "Curves for TensorBoard were asked for, and the Python package tensorboard is not installed. Install it "
            "with `pip install 'nnunet_assets[tensorboard]'`, or leave `tensorboard` out.",
        )


def tensorboard_folder(fold_folder: Path) -> Path:
    """Returns where a fold's event files lie."""
    return fold_folder / OWN_FOLDER / "tensorboard"


class TensorBoardLogger(EpochLogger):
    """Writes the values of each epoch as scalars; an undefined value has no point.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        label_names: As for `EpochLogger`.
        first_epoch: What an earlier process wrote from this epoch on is trained again, and not shown any more.
    """

    def __init__(self, fold_folder: Path, label_names: Sequence[str], first_epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        super().__init__(label_names)
        self._writer = SummaryWriter(str(tensorboard_folder(fold_folder)), purge_step=first_epoch)
        self._n_lost = 0

    def take_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Writes the epoch's scalars; a full disk costs the curve, not the training."""
        try:
            for series, value in values.items():
                if math.isfinite(value):
                    self._writer.add_scalar(series, value, epoch)
            # Else a process that is killed takes up to two minutes of epochs along, and a checkpoint may hold them.
            self._writer.flush()
        except OSError:
            self._n_lost += 1

    def close(self) -> int:
        """Closes the event file and returns how many epochs could not be written."""
        try:
            self._writer.close()
        except OSError:
            self._n_lost = max(1, self._n_lost)
        return self._n_lost
