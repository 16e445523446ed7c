"""What a summary is checked for: its cases against the split, and its folds against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from nnunet_assets.core.summary.scored_summary import ScoredSummary

MIN_FOLDS = 4
"""Fewer say nothing about which of them is odd."""

N_DEVIATIONS = 3
MIN_DISTANCE = 0.05
"""In Dice: of four or five folds, three scaled deviations are soon exceeded where they happen to lie close together."""

SCALE_OF_NORMAL = 1.4826
"""Makes the median absolute deviation the standard deviation of what is distributed normally."""


@dataclass(frozen=True)
class FoldCoverage:
    """The cases that a finished fold validated, against those that the split has it validate.

    Attributes:
        fold: `fold_0` ...
        n_in_split: Cases that the split has it validate; 0 where the split has no such fold.
        n_validated: Cases that it validated.
        missing: Cases of the split that it did not validate.
        foreign: Cases that it validated, and that the split does not have it validate.
    """

    fold: str
    n_in_split: int
    n_validated: int
    missing: tuple[str, ...]
    foreign: tuple[str, ...]


def coverage(summary: ScoredSummary, validation: Mapping[str, Sequence[str]]) -> list[FoldCoverage]:
    """Returns how each finished fold covers the split; no case is in two of them, or there were no summary.

    Args:
        summary: Its finished folds count.
        validation: Fold of the split to its validation cases.
    """
    found = []
    for fold in summary.folds:
        wanted = set(validation.get(fold.fold, ()))
        validated = {case.case_id for case in fold.cases}
        missing, foreign = tuple(sorted(wanted - validated)), tuple(sorted(validated - wanted))
        found.append(FoldCoverage(fold.fold, len(wanted), len(validated), missing, foreign))
    return found


@dataclass(frozen=True)
class FoldSpread:
    """How far the folds' foreground Dice lie apart; the median and its deviation are not moved by a single odd fold.

    Attributes:
        dice_by_fold: Foreground Dice of each fold that has one.
        median: Of these.
        scaled_mad: Their median absolute deviation from it, scaled to a standard deviation.
    """

    dice_by_fold: Mapping[str, float]
    median: float
    scaled_mad: float

    @property
    def limit(self) -> float:
        """The distance from the median beyond which a fold is an outlier, in Dice."""
        return max(N_DEVIATIONS * self.scaled_mad, MIN_DISTANCE)

    @property
    def outliers(self) -> tuple[str, ...]:
        """The folds that lie farther from the median."""
        return tuple(fold for fold, dice in self.dice_by_fold.items() if abs(dice - self.median) > self.limit)


def fold_spread(summary: ScoredSummary) -> FoldSpread | None:
    """Returns the spread of the folds; None where fewer than four have a foreground Dice."""
    means = {fold: estimate.mean for fold, estimate in summary.foreground.dice.by_fold.items()}
    defined = {fold: mean for fold, mean in means.items() if mean is not None}
    if len(defined) < MIN_FOLDS:
        return None
    middle = median(defined.values())
    deviation = median(abs(dice - middle) for dice in defined.values())
    return FoldSpread(defined, middle, SCALE_OF_NORMAL * deviation)
