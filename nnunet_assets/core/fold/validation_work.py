"""How much work the validation of a fold is, counted before it begins: nobody else says how long it will take.

nnU-Net moves a window over each case, by half a window at a time, and predicts what is in it once for each way to
mirror it. Such a pass of one patch is about half of what a patch costs in training, forward and back. What other folds
of the model took is the better measure, as soon as there is one: it counts what is done with a prediction, too.

On disk: `fold_k/.nnunet_assets/validation_work.json`, written by the fold's process when it begins.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from nnunet_assets.core.files.json_file import UNREADABLE, load_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.fold import finished_siblings
from nnunet_assets.core.training.trained_epoch import TrainedEpoch

FILE = f"{OWN_FOLDER}/validation_work.json"
"""In a fold's folder."""

PASSES_OF_A_STEP = 2
"""What a patch costs in training, once forward and twice back, and in a batch, which the window is not. Measured on two
processors: 1.57 s of processor time a patch that is trained on, 0.74 s a pass."""


@dataclass(frozen=True)
class ValidationWork:
    """The work of a validation, in passes of one patch through the network.

    Attributes:
        passes: By case.
        epoch_passes: What an epoch of the training takes, in the same measure.
        device: As the manifest of the fold has it.
    """

    passes: Mapping[str, int]
    epoch_passes: float
    device: str

    @classmethod
    def read(cls, fold_folder: Path) -> "ValidationWork | None":
        """Returns what a fold's process wrote down; None: nothing, or it cannot be read."""
        try:
            content = load_json(fold_folder / FILE)
            passes = {str(case): int(n) for case, n in content["passes"].items()}
            return cls(passes, float(content["epoch_passes"]), str(content["device"]))
        except UNREADABLE:
            return None

    def write(self, fold_folder: Path) -> None:
        """Writes it down; a full disk costs no more than the estimate."""
        with suppress(OSError):
            write_json_atomically(fold_folder / FILE, asdict(self))

    @property
    def n_passes(self) -> int:
        """Of all cases."""
        return sum(self.passes.values())

    def seconds(self, epoch_seconds: float | None, pass_seconds: float | None) -> float | None:
        """Returns how long it may take.

        Args:
            epoch_seconds: How long an epoch of this training takes; None: not known.
            pass_seconds: How long a pass took in other folds, see `pass_seconds_of_others`; None: not known.

        Returns:
            None where neither is known.
        """
        if pass_seconds is None and epoch_seconds is not None and self.epoch_passes > 0:
            pass_seconds = epoch_seconds / self.epoch_passes
        return None if pass_seconds is None else pass_seconds * self.n_passes

    def share_of(self, cases: list[str]) -> float:
        """Returns which part of it these cases are; 1 where it is none at all."""
        return sum(self.passes[case] for case in cases) / self.n_passes if self.n_passes else 1.0


def trained_epoch(
    fold_folder: Path, epoch: int, n_epochs: int | None, values: Mapping[str, float | None]
) -> TrainedEpoch:
    """Returns an epoch that a fold has trained, with what its validation may take; for the arguments see there."""
    work = ValidationWork.read(fold_folder)
    seconds = None
    if work is not None:
        seconds = work.seconds(values.get("epoch_seconds"), pass_seconds_of_others(fold_folder, work.device))
    return TrainedEpoch(epoch, n_epochs, values, seconds)


def pass_seconds_of_others(fold_folder: Path, device: str) -> float | None:
    """Returns how long a pass took in the validations of the model's other folds on such a device; None: none ended."""
    known = [
        (manifest.seconds["validation"], work.n_passes)
        for folder, manifest in finished_siblings(fold_folder)
        if manifest.device == device and (work := ValidationWork.read(folder)) and "validation" in manifest.seconds
    ]
    n_passes = sum(n for _, n in known)
    return sum(seconds for seconds, _ in known) / n_passes if n_passes else None
