"""What is said where a training was interrupted: what became of its fold, which may be finished all the same."""

from dataclasses import dataclass

from nnunet_assets.core.files.digests import FileStat, stat_of
from nnunet_assets.core.files.layout import OWN_FOLDER, FoldPlace
from nnunet_assets.core.fold.commit import COMMIT_FILE, FinishedFold


@dataclass
class FoldAtWork:
    """The fold that a command works on, as it was when the command began with it.

    Attributes:
        place: Where it lies; None: the command is not as far as that.
        before: What its COMMIT looked like from outside; None: it had none. Nothing of it is read for that.
    """

    place: FoldPlace | None = None
    before: FileStat | None = None

    def begin(self, place: FoldPlace) -> None:
        """Takes the fold, as it is now."""
        self.place, self.before = place, _commit(place)

    def interrupted(self, *, retrain: bool, validates: bool) -> str:
        """Returns what is there after an interruption, and how to go on.

        Args:
            retrain: Whether it was to be trained anew.
            validates: Whether a trained fold was only to be validated.
        """
        if self.place is None or FinishedFold.read(self.place.folder) is None:
            again = "The same command without --retrain" if retrain else "The same command"
            return f"Interrupted. {again} goes on from the last checkpoint, where one is written already."
        fold = self.place.fold
        if _commit(self.place) != self.before:
            later = " What MLflow does not have of it yet, `nnunet-assets sync` sends."
            return f"Interrupted, but {fold} is finished: {self.place.folder}.{later}"
        if validates:
            return f"Interrupted. {fold} is as it was; the same command validates it again."
        anew = " Nothing was trained anew; the same command begins with it." if retrain else ""
        return f"Interrupted. {fold} was finished before, and is as it was.{anew}"


def _commit(place: FoldPlace) -> FileStat | None:
    commit = place.folder / OWN_FOLDER / COMMIT_FILE
    return stat_of(commit) if commit.exists() else None
