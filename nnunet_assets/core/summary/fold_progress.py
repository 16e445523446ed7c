"""How far a cross-validation is: which of its folds are finished and which are missing, whatever is known of each."""

from typing import Protocol

from nnunet_assets.core.splits.splits import CROSS_VALIDATION, HOLD_OUT
from nnunet_assets.core.training.training_end import TrainingEnd


class NamedFold(Protocol):
    """A finished fold."""

    @property
    def fold(self) -> str:
        """Its name: `fold_0` ..."""

    @property
    def training(self) -> TrainingEnd:
        """Where its curves ended."""


class FoldProgress:
    """What every summary says of its folds.

    Attributes:
        expected_folds: The folds of a complete cross-validation.
        folds: The finished ones, in the order of `expected_folds`.
    """

    expected_folds: tuple[str, ...]
    folds: tuple[NamedFold, ...]

    @property
    def completed_folds(self) -> tuple[str, ...]:
        """The finished folds."""
        return tuple(fold.fold for fold in self.folds)

    @property
    def missing_folds(self) -> tuple[str, ...]:
        """The expected folds that are not finished."""
        return tuple(fold for fold in self.expected_folds if fold not in self.completed_folds)

    @property
    def is_complete(self) -> bool:
        """Whether every expected fold is finished."""
        return not self.missing_folds

    @property
    def is_hold_out(self) -> bool:
        """Whether there is one fold to expect, so that nothing is said over folds."""
        return len(self.expected_folds) == 1

    @property
    def what(self) -> str:
        """`hold-out` or `cross-validation`."""
        return HOLD_OUT if self.is_hold_out else CROSS_VALIDATION

    @property
    def progress(self) -> str:
        """How many folds are finished: `4 of 5 folds (fold_3 missing)`, or `hold-out (fold_0)`."""
        if self.is_hold_out:
            return f"{HOLD_OUT} ({self.expected_folds[0]}{' missing' if self.missing_folds else ''})"
        missing = f" ({', '.join(self.missing_folds)} missing)" if self.missing_folds else ""
        return f"{len(self.folds)} of {len(self.expected_folds)} folds{missing}"
