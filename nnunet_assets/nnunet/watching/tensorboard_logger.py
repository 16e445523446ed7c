"""What TensorBoard shows of a fold, beside the journal and under the same names; a package that not everybody has.

On disk: `fold_k/.nnunet_assets/tensorboard/`, or a folder of the user's name in it, with an event file for each process
that trained the fold and one of its scores; and in that `batches/`, whose steps are iterations in place of epochs.
TensorBoard passes over what a process wrote from the step on at which the next one began: each epoch and each iteration
is shown once. Epochs from before the first of them, of a fold that is continued or that began without TensorBoard, have
a file of their own.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.iterations import BATCH, Series
from nnunet_assets.core.fold.journal import Record
from nnunet_assets.nnunet.watching.background import Background
from nnunet_assets.nnunet.watching.epoch_logger import EpochLogger
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch.utils.tensorboard import SummaryWriter

BATCHES = "batches"
EVENTS = "events.out.tfevents."


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


def tensorboard_folder(fold_folder: Path, prefix: str | None = None) -> Path:
    """Returns where a fold's event files lie."""
    folder = fold_folder / OWN_FOLDER / "tensorboard"
    return folder / prefix if prefix else folder


class TensorBoardLogger(EpochLogger):
    """Writes the values of each epoch as scalars, and what else there is; an undefined value has no point.

    Args:
        fold_folder: nnU-Net's `fold_k`.
        label_names: As for `EpochLogger`.
        first_epoch: What an earlier process wrote from this epoch on is trained again, and not shown any more.
        prefix: The folder of the event files in the fold's `tensorboard`; what lies under another name moves there.
        n_iterations: Of an epoch.
        earlier: What the journal has of the epochs before the first one; shown where there is no event file yet.

    Attributes:
        is_first: Whether nothing that was written before stays.
    """

    def __init__(
        self,
        fold_folder: Path,
        label_names: Sequence[str],
        first_epoch: int,
        *,
        prefix: str | None = None,
        n_iterations: int = 1,
        earlier: Sequence[Record] = (),
    ) -> None:
        super().__init__(label_names)
        self._folder = tensorboard_folder(fold_folder, prefix)
        _gather(tensorboard_folder(fold_folder), self._folder)
        is_new = not any(self._folder.glob(f"{EVENTS}*"))
        self.is_first = not first_epoch or is_new
        self._n_lost = _write_earlier(self._folder, earlier) if is_new and earlier else 0
        self._writer = _writer(self._folder, first_epoch)
        self._batches: Any = None
        self._first_epoch, self._n_iterations = first_epoch, n_iterations
        self._background = Background()
        # Counting the weights of a network takes seconds, which no checkpoint is to wait for.
        self._counting = Background()

    def take_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Has the epoch's scalars written; a full disk costs the curve, not the training."""
        self._background.submit(self._write_epoch, epoch, values)

    def take_batches(self, epoch: int, series: Series) -> None:
        """Has a point written for each iteration of an epoch, counted over the whole training."""
        self._background.submit(self._write_batches, epoch, series)

    def take_histograms(self, epoch: int, tensors: Mapping[str, "torch.Tensor"]) -> None:
        """Has a histogram written for each tensor, which nobody changes meanwhile."""
        self._counting.submit(self._write_histograms, epoch, tensors)

    def wait_for_histograms(self) -> None:
        """Waits until the earlier ones are written: their copies of the network take memory until then."""
        self._counting.wait()

    def take_picture(self, name: str, epoch: int, pixels: "np.ndarray") -> None:
        """Has a picture written, (rows, columns, RGB) of bytes."""
        self._background.submit(self._write_picture, name, epoch, pixels)

    def take_text(self, name: str, text: str) -> None:
        """Has a text written that is of no epoch."""
        self._background.submit(self._writer.add_text, name, text, 0)

    def take_settings(self, settings: Mapping[str, bool | float | str]) -> None:
        """Has the hyperparameters written, beside which TensorBoard shows the last value of each series."""
        self._background.submit(self._write_settings, settings)

    def wait(self) -> None:
        """Waits until all but the histograms is in the event files so far, or is known not to get there."""
        self._background.wait()

    def close(self) -> int:
        """Closes the event files and returns how many epochs, or what else of one, could not be written."""
        n_failed = self._n_lost + self._background.close() + self._counting.close()
        try:
            for writer in filter(None, (self._writer, self._batches)):
                writer.close()
        except OSError:
            n_failed = max(1, n_failed)
        return n_failed

    def _write_epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        _add_scalars(self._writer, epoch, values)
        # Else a process that is killed takes up to two minutes of epochs along, and a checkpoint may hold them.
        self._writer.flush()

    def _write_batches(self, epoch: int, series: Series) -> None:
        if self._batches is None:
            self._batches = _writer(self._folder / BATCHES, self._first_epoch * self._n_iterations)
        for name, values in series.items():
            for number, value in enumerate(values):
                if value is not None and math.isfinite(value):
                    self._batches.add_scalar(f"{BATCH}{name}", value, epoch * self._n_iterations + number)
        self._batches.flush()

    def _write_histograms(self, epoch: int, tensors: Mapping[str, "torch.Tensor"]) -> None:
        for name, tensor in tensors.items():
            finite = tensor[tensor.isfinite()]
            if len(finite):
                self._writer.add_histogram(name, finite, epoch)
        self._writer.flush()

    def _write_picture(self, name: str, epoch: int, pixels: "np.ndarray") -> None:
        self._writer.add_image(name, pixels, epoch, dataformats="HWC")
        self._writer.flush()

    def _write_settings(self, settings: Mapping[str, bool | float | str]) -> None:
        from torch.utils.tensorboard.summary import hparams

        # Of the three parts the first would name the columns of every fold that is shown beside this one.
        _, start, end = hparams(dict(settings), {})
        for part in (start, end):
            self._writer.file_writer.add_summary(part)
        self._writer.flush()


def _add_scalars(
    writer: "SummaryWriter", epoch: int | None, values: Mapping[str, float | None], seconds: float | None = None
) -> None:
    for series, value in values.items():
        if value is not None and math.isfinite(value):
            writer.add_scalar(series, value, epoch, walltime=seconds)


def _write_earlier(folder: Path, records: Sequence[Record]) -> int:
    """Writes an event file of these epochs, whole or not at all, that TensorBoard reads before all others.

    Returns:
        How many could not be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        with SummaryWriter(str(part)) as writer:
            for record in records:
                _add_scalars(writer, record.epoch, record.values, record.time_ms / 1000)
        folder.mkdir(parents=True, exist_ok=True)
        (file,) = part.iterdir()
        file.rename(folder / f"{EVENTS}{0:010}.{file.name.removeprefix(EVENTS).partition('.')[2]}")
    except OSError:
        return len(records)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return 0


def _gather(folder: Path, wanted: Path) -> None:
    """Moves event files that lie under another name to where this process writes: one training is one run."""
    for file in [*folder.glob(f"{EVENTS}*"), *folder.glob(f"*/{EVENTS}*"), *folder.glob(f"*/*/{EVENTS}*")]:
        place = wanted / BATCHES if file.parent.name == BATCHES else wanted
        if file.parent != place:
            place.mkdir(parents=True, exist_ok=True)
            file.rename(place / file.name)
            if not any(file.parent.iterdir()):
                file.parent.rmdir()


def _writer(folder: Path, first_step: int) -> "SummaryWriter":
    """Returns what writes a new event file behind those that are there.

    TensorBoard reads them in the order of their names, which begin with the second in which each was made: where a
    clock was set back, or another node's is late, what a later process wrote would be read first.
    """
    from torch.utils.tensorboard import SummaryWriter

    earlier = sorted(folder.glob(f"{EVENTS}*"))
    writer = SummaryWriter(str(folder), purge_step=first_step)
    own = min((file for file in folder.glob(f"{EVENTS}*") if file not in earlier), default=None)
    if own is not None and earlier and earlier[-1] > own:
        for number, file in enumerate(earlier):
            file.rename(folder / f"{EVENTS}{number:010}.{file.name.removeprefix(EVENTS).partition('.')[2]}")
    return writer
