"""Ranks of means, and those that other patients would have given them."""

import numpy as np
import pytest

from nnunet_assets.core.statistics.halves import HalfMeans, Halves
from nnunet_assets.core.statistics.ranks import ranked
from nnunet_assets.core.statistics.scoring import scale_of

NAN = float("nan")


def of_shown(*shown: float) -> HalfMeans:
    """In every half, the empty one aside, the means are those that are shown."""
    means = np.array(shown)
    by_half = np.column_stack([np.full(len(shown), NAN), *[means] * 7])
    return HalfMeans(means, by_half, means[:, None])


@pytest.mark.parametrize(("metric", "ranks"), [("dice", [3, 1, 2]), ("hd95_mm", [1, 3, 2])])
def test_the_best_is_first_which_of_a_distance_is_the_lowest(metric: str, ranks: list[int]) -> None:
    found = ranked(of_shown(0.1, 0.9, 0.5), scale_of(metric, 100.0))
    assert found.shown.tolist() == found.low.tolist() == found.high.tolist() == ranks
    assert found.first_share.tolist() == [float(rank == 1) for rank in ranks]


def test_equal_means_share_the_better_rank_however_the_machine_rounds() -> None:
    found = ranked(of_shown(0.5, 0.9, 0.5 + 4e-10, 0.5 + 1e-8), scale_of("dice"))
    assert found.shown.tolist() == [3, 1, 3, 2]


@pytest.mark.parametrize("metric", ["dice", "hd95_mm"])
def test_nobody_goes_before_an_undefined_mean(metric: str) -> None:
    found = ranked(of_shown(0.9, NAN, 0.0, NAN), scale_of(metric, 100.0))
    assert found.shown.tolist() == ([3, 1, 4, 1] if metric == "dice" else [4, 1, 3, 1])


def test_halves_say_how_surely() -> None:
    # `b` is ahead in p0 by 0.4, `a` in p1 by 0.1: of the halves p0, p1 and both, `b` is first in two.
    scores = np.array([[0.5, 0.9], [0.6, 0.5]])
    found = ranked(Halves(["p0", "p1"]).means(scores), scale_of("dice"))
    assert found.shown.tolist() == [2, 1]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1], [2, 2])
    assert found.first_share.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_the_empty_half_is_no_half() -> None:
    # In the empty half, the first one, all are undefined, so that all would be first.
    found = ranked(of_shown(0.1, 0.9), scale_of("dice"))
    assert found.first_share.tolist() == [0, 1]


def test_ranks_go_from_the_best_to_the_worst_of_95_percent_of_the_halves() -> None:
    # Of 200 halves the first model is behind in 4 (2 %) and in 6 (3 %).
    for n_behind, high in ((4, 1), (6, 2)):
        by_half = np.tile([[0.9], [0.5]], 201)
        by_half[0, 1 : 1 + n_behind] = 0.1
        found = ranked(HalfMeans(np.array([0.9, 0.5]), by_half, np.array([[0.9], [0.5]])), scale_of("dice"))
        assert (found.low[0], found.high[0]) == (1, high)
        assert found.first_share[0] == pytest.approx(1 - n_behind / 200)


@pytest.mark.parametrize(("n_halves", "n_taken"), [(2048, 2048), (2049, 2048)])
def test_of_very_many_halves_some_are_taken_and_the_same_again(n_halves: int, n_taken: int) -> None:
    by_half = np.tile([[0.9], [0.5]], n_halves + 1)
    by_half[0, 0] = NAN
    by_half[0, 1] = 0.1
    means = HalfMeans(np.array([0.9, 0.5]), by_half, np.array([[0.9], [0.5]]))
    shares = {float(ranked(means, scale_of("dice")).first_share[0]) for _ in range(2)}
    (share,) = shares
    # The one in which it is behind is among them, or is the one that is left out.
    assert share in ((n_taken - 1) / n_taken, *([1.0] if n_halves > n_taken else []))
