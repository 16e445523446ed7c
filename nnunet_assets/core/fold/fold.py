"""A fold as one value: where it lies, how far it is, and what its COMMIT vouches for, read once and passed on.

It is read again only under the fold's lock, where it may have changed since; `known` spares the checkpoints, of which
a gigabyte takes 0.6 s, where the file system shows that nobody wrote them since.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.files.layout import OWN_FOLDER, REQUEST_FILE, FoldPlace, job_lock_of, lock_of
from nnunet_assets.core.fold.commit import COMMIT_FILE, FINAL_CHECKPOINT, FinishedFold, Manifest, read_committed

State = Literal["absent", "running", "interrupted", "trained", "finished", "adopted", "changed", "foreign"]

UNFINISHED: Mapping[State, str] = {
    "absent": "it was not begun",
    "running": "another process trains it",
    "interrupted": "its training was interrupted",
    "trained": "it is trained, and not validated",
    "changed": "it was changed outside this project after it was finished",
    "foreign": "this project did not make what is there",
}
"""What a person is told of a fold that is not finished."""


@dataclass(frozen=True)
class Fold:
    """A fold as it was when it was read.

    Attributes:
        place: Where it lies.
        state: How far it is. `running` is one that another process trains now (a finished one that is validated again
            stays finished meanwhile); `trained` one that has its last epoch and no validation; `adopted` a finished one
            that was trained elsewhere and taken in; `changed` one that was finished and is not any more what its COMMIT
            vouches for (plain `nnUNetv2_train --c` went on with it, a file was edited or deleted); `foreign` one that
            holds checkpoints this project did not make.
        finished: What its COMMIT vouches for; None: it is not finished.
    """

    place: FoldPlace
    state: State
    finished: FinishedFold | None = None

    @classmethod
    def read(cls, place: FoldPlace, *, check_files: bool = False, known: "Fold | None" = None) -> "Fold":
        """Returns the fold as it lies on the disk now.

        Args:
            place: Where it lies.
            check_files: As in `FinishedFold.read`.
            known: The same fold as it was read before.
        """
        finished = FinishedFold.read(place.folder, check_files=check_files, known=known.finished if known else None)
        return cls(place, _state(place.folder, finished), finished)


def fold_state(fold_folder: Path) -> State:
    """Returns how far a fold is, by its bytes, wherever it lies and whatever it is of; see `Fold`."""
    return _state(fold_folder, FinishedFold.read(fold_folder, check_files=True))


def finished_siblings(fold_folder: Path) -> Iterator[tuple[Path, Manifest]]:
    """Yields the other finished folds of the model; of adopted ones nobody knows what machine took how long."""
    for folder in sorted(fold_folder.parent.glob("fold_*")):
        if folder != fold_folder and (fold := read_committed(folder)) and not fold.is_adopted:
            yield folder, fold


def _state(folder: Path, finished: FinishedFold | None) -> State:
    if finished is not None:
        return "adopted" if finished.manifest.is_adopted else "finished"
    # A job goes on where who supervised it was killed.
    if is_owned(lock_of(folder)) or is_owned(job_lock_of(folder)):
        return "running"
    if (folder / OWN_FOLDER / COMMIT_FILE).is_file():
        return "changed"
    if (folder / OWN_FOLDER / REQUEST_FILE).is_file():
        return "trained" if (folder / FINAL_CHECKPOINT).is_file() else "interrupted"
    return "foreign" if any(folder.glob("checkpoint_*.pth")) else "absent"
