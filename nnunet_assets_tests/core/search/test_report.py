"""What a search says of itself."""

from dataclasses import replace

import pytest

from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.report import SearchReport, TrialReport, row
from nnunet_assets.core.search.trial_files import Trial, TrialState

BEGUN_MS = 1_796_025_600_000


def trial(number: int, state: TrialState, scores: dict[int, float], dice: float | None = None) -> TrialReport:
    return TrialReport(
        Trial(number, {"lr": 0.1 * (number + 1)}, BEGUN_MS, state),
        f"s_{number:03}",
        Curve(scores, max(scores, default=0), 1800.0),
        dice,
    )


def report(*trials: TrialReport) -> SearchReport:
    return SearchReport("Dataset004_H", "s", "search s", "fold_0", 5, 9, [3], ["lr", "momentum"], trials)


FULL = report(
    trial(0, "stopped", {3: 0.8}),
    trial(1, "finished", {3: 0.6, 9: 0.7}, 0.65),
    trial(2, "finished", {3: 0.5, 9: 0.75}, 0.6),
    trial(3, "failed", {9: 0.99}),
    trial(4, "begun", {}),
)


def test_failed_ones_and_those_without_a_score_are_not_ranked() -> None:
    assert [one.trial.number for one in FULL.ranked] == [2, 1, 0]
    assert FULL.best is FULL.trials[2]


def test_the_headline_calls_the_score_what_it_is_and_says_among_how_many_it_was_chosen() -> None:
    assert FULL.headline() == (
        "5 of 5 trials (1 stopped, 2 finished, 1 failed, 1 begun); 30 epochs, 2.5 h. Best: trial 2, pseudo Dice 0.7500 "
        "after 9 epochs on fold_0, chosen among 5."
    )
    assert report().headline() == "0 of 5 trials (none begun); 0 epochs, 0 h. No trial has a pseudo Dice yet."


def test_those_without_a_rank_stand_after_the_ranked_ones() -> None:
    assert [one.trial.number for one in FULL.in_order] == [2, 1, 0, 3, 4]


@pytest.mark.parametrize(
    ("stopped_at", "epochs"), [([], 9), ([3], 3), ([2.5, 7.5], 3), ([7.5, 2.25], 3), ([0.5, 1], 1)]
)
def test_trials_are_compared_first_when_the_first_of_them_can_be_stopped(stopped_at: list[float], epochs: int) -> None:
    assert replace(FULL, stopped_at=stopped_at).compared_at == epochs


@pytest.mark.parametrize(
    ("n_changes", "n_outside", "said"),
    [
        (0, 0, ""),
        (1, 0, "once after trials began: 0 of them lie outside"),
        (1, 1, "once after trials began: 1 of them lies outside"),
        (2, 3, "2 times after trials began: 3 of them lie outside"),
    ],
)
def test_trials_of_an_earlier_space_are_ranked_and_not_counted(n_changes: int, n_outside: int, said: str) -> None:
    trials = [replace(one, is_counted=one.trial.number >= n_outside) for one in FULL.trials]
    changed = replace(FULL, trials=trials, n_changes=n_changes)
    assert said in changed.changes()
    assert bool(changed.changes()) is bool(said)
    assert changed.headline().startswith(f"{5 - n_outside} of 5 trials (")
    assert changed.changes() in changed.headline()
    assert [one.trial.number for one in changed.ranked] == [2, 1, 0]
    assert changed.to_json()["space_changes"] == n_changes


def test_a_row_has_every_setting() -> None:
    assert row(FULL.trials[1], FULL.settings) == {
        "trial": 1,
        "variant": "s_001",
        "lr": 0.2,
        "momentum": None,
        "state": "finished",
        "is_counted": True,
        "begun": "2026-11-30T08:00:00+00:00",
        "epochs": 9,
        "pseudo_dice": 0.7,
        "dice": 0.65,
        "hours": 0.5,
        "failure": None,
    }
    found = FULL.to_json()
    assert [one["trial"] for one in found.pop("trials")] == [0, 1, 2, 3, 4]
    assert found == {
        "dataset": "Dataset004_H",
        "search": "s",
        "fold": "fold_0",
        "trials_wanted": 5,
        "space_changes": 0,
        "epochs": 30,
        "hours": 2.5,
        "best": 2,
    }
    assert report().to_json()["best"] is None
