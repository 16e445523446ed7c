"""The validation slices that a training is watched by: the same patches of the same cases at every look.

Of each case it is the slice with the most labelled voxels, in a patch of the size that is trained on, so that a look
takes the memory of a validation step and compiles nothing anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nnunet_assets.core.training.panel import Panel
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.trainer import validation_cases

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class FixedSlice:
    """A patch of a case.

    Attributes:
        case: The case.
        data: What the network takes, (channels, *patch).
        reference: Labels of the slice that is shown, (rows, columns).
        row: Which slice of a patch in 3D that is; None: the patch is one.
    """

    case: str
    data: np.ndarray
    reference: np.ndarray
    row: int | None


class FixedSlices:
    """Reads the patches of a trainer's first validation cases, and predicts them as often as it is asked.

    Args:
        trainer: Training, so that its network is built and its data unpacked.
        n: How many cases at most.
    """

    def __init__(self, trainer: NnunetTrainer, n: int) -> None:
        self._trainer = trainer
        cases = sorted(validation_cases(trainer))[:n]
        previous = trainer.folder_with_segs_from_previous_stage
        dataset = trainer.dataset_class(trainer.preprocessed_dataset_folder, cases, previous)
        patch = [int(size) for size in trainer.configuration_manager.patch_size]
        self._slices = [_read(trainer, dataset, case, patch) for case in cases]

    def panels(self) -> list[Panel]:
        """Returns each slice as the network predicts it now; network and random numbers are as before."""
        import torch

        trainer = self._trainer
        network = trainer.network.module if trainer.is_ddp else trainer.network
        was_training = network.training
        network.eval()
        shown: list[np.ndarray] = []
        n = trainer.batch_size
        try:
            with torch.no_grad(), torch.autocast(trainer.device.type, enabled=trainer.device.type == "cuda"):
                for start in range(0, len(self._slices), n):
                    some = self._slices[start : start + n]
                    batch = np.stack([*(one.data for one in some), *[some[-1].data] * (n - len(some))])
                    output = network(torch.from_numpy(batch).to(trainer.device, non_blocking=True))
                    logits = output[0] if isinstance(output, list | tuple) else output
                    shown += [self._labels(one, logits[place]) for place, one in enumerate(some)]
        finally:
            network.train(was_training)
        return [self._panel(one, labels) for one, labels in zip(self._slices, shown, strict=True)]

    def _labels(self, one: FixedSlice, logits: "torch.Tensor") -> np.ndarray:
        """Returns the labels of the slice that is shown, by nnU-Net's own rule."""
        plane = logits if one.row is None else logits[:, one.row]
        labels = self._trainer.label_manager.convert_logits_to_segmentation(plane.float().cpu().numpy()[:, None])
        return np.asarray(labels, np.int64).reshape(plane.shape[-2:])

    def _panel(self, one: FixedSlice, labels: np.ndarray) -> Panel:
        image = one.data[0] if one.row is None else one.data[0, one.row]
        spacing = self._trainer.configuration_manager.configuration["spacing"]
        ignored = self._trainer.label_manager.ignore_label
        pixel_mm = (float(spacing[-2]), float(spacing[-1]))
        return Panel(one.case, image, one.reference, labels, pixel_mm, ignored)


def _read(trainer: NnunetTrainer, dataset: Any, case: str, patch: Sequence[int]) -> FixedSlice:
    data, labels, previous, _ = dataset.load_case(case)
    data, labels = np.asarray(data[:], np.float32), np.asarray(labels[:])[0]
    if previous is not None:
        from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot

        of_previous = np.asarray(previous[:]).reshape(labels.shape)
        parts = convert_labelmap_to_one_hot(of_previous, trainer.label_manager.foreground_labels, np.float32)
        data = np.concatenate([data, parts])
    labels = np.where(labels < 0, 0, labels)  # nnU-Net marks what lies outside of the body
    place = _centre(labels, trainer.label_manager.ignore_label)
    size = list(patch) if len(patch) == labels.ndim else [1, *patch]
    lows = [
        min(max(0, centre - extent // 2), max(0, n - extent))
        for centre, extent, n in zip(place, size, labels.shape, strict=True)
    ]
    cut = _cut(data, lows, size)
    reference = _cut(labels[None], lows, size)[0]
    row = place[0] - lows[0]
    if len(patch) < labels.ndim:
        return FixedSlice(case, cut[:, 0], reference[0], None)
    return FixedSlice(case, cut, reference[row], row)


def _centre(labels: np.ndarray, ignored: int | None) -> tuple[int, int, int]:
    """Returns the voxel that is in the middle of the labels of the slice that has the most; of none the middle."""
    is_label = (labels > 0) & (labels != ignored) if ignored is not None else labels > 0
    counts = is_label.sum((1, 2))
    if not counts.any():
        depth, height, width = (n // 2 for n in labels.shape)
        return depth, height, width
    row = int(counts.argmax())
    rows, columns = np.nonzero(is_label[row])
    return row, int(rows.mean()), int(columns.mean())


def _cut(volume: np.ndarray, lows: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Returns a block of (channels, z, y, x), filled up with zeros where the volume ends."""
    block = volume[(slice(None), *(slice(low, low + extent) for low, extent in zip(lows, size, strict=True)))]
    missing = [(0, extent - n) for extent, n in zip(size, block.shape[1:], strict=True)]
    return np.pad(block, [(0, 0), *missing])
