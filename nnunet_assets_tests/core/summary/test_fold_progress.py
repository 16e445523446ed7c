"""How far a cross-validation is, in words."""

from dataclasses import dataclass

import pytest

from nnunet_assets.core.summary.fold_progress import FoldProgress
from nnunet_assets.core.training.training_end import TrainingEnd

ENDED = TrainingEnd()


@dataclass(frozen=True)
class Fold:
    fold: str
    training: TrainingEnd = ENDED


class Progress(FoldProgress):
    def __init__(self, expected: int, *finished: int) -> None:
        self.expected_folds = tuple(f"fold_{index}" for index in range(expected))
        self.folds = tuple(Fold(f"fold_{index}") for index in finished)


@pytest.mark.parametrize(
    ("progress", "text", "is_complete"),
    [
        (Progress(5, 0, 1, 2, 4), "4 of 5 folds (fold_3 missing)", False),
        (Progress(3), "0 of 3 folds (fold_0, fold_1, fold_2 missing)", False),
        (Progress(2, 0, 1), "2 of 2 folds", True),
        (Progress(1, 0), "hold-out (fold_0)", True),
        (Progress(1), "hold-out (fold_0 missing)", False),
    ],
)
def test_finished_and_missing_folds_are_told(progress: Progress, text: str, is_complete: bool) -> None:
    assert (progress.progress, progress.is_complete) == (text, is_complete)
    assert sorted((*progress.completed_folds, *progress.missing_folds)) == list(progress.expected_folds)


def test_one_expected_fold_is_a_hold_out() -> None:
    assert (Progress(1).is_hold_out, Progress(1).what) == (True, "hold-out")
    assert (Progress(2, 0).is_hold_out, Progress(2, 0).what) == (False, "cross-validation")
