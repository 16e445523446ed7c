"""Which settings matter, of trials of which one alone does."""

import pytest

from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.report import SearchReport, TrialReport
from nnunet_assets.core.search.space import Dimension, Space
from nnunet_assets.core.search.trial_files import Trial

pytest.importorskip("optuna")
from nnunet_assets.workflows.search.importance import importance

pytestmark = pytest.mark.faults  # Optuna takes seconds for it

SPACE = Space((Dimension("lr", "log", low=1e-4, high=1e-1), Dimension("momentum", "choice", (0.9, 0.99))))


def report(n: int) -> SearchReport:
    """Trials whose score after three epochs is their rate's; those after nine say the opposite."""
    trials = []
    for number in range(n):
        share = number / n
        point = {"lr": 1e-4 * 1000**share, "momentum": (0.9, 0.99)[number % 2]}
        curve = Curve({3: share, 9: 1 - share} if number % 3 else {3: share}, 9)
        trials.append(TrialReport(Trial(number, point, 0), f"s_{number:03}", curve))
    return SearchReport("Dataset004_H", "s", "search s", "fold_0", n, 9, [3], ["lr", "momentum"], trials)


def test_the_setting_that_decides_the_score_matters_most() -> None:
    found = importance(SPACE, report(24))
    assert found["lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_of_few_trials_nobody_can_tell() -> None:
    assert importance(SPACE, report(7)) == {}
