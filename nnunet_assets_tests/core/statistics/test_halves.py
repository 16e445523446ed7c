"""Means over random halves of the patients: of whole patients, of all halves where there are few."""

from itertools import product

import numpy as np
import pytest

from nnunet_assets.core.statistics import halves as halves_module
from nnunet_assets.core.statistics.halves import N_HALVES, Halves, LabelMeans

NAN = float("nan")


def test_each_half_of_three_patients_is_taken_once_and_the_first_is_empty() -> None:
    scores = np.array([[0.1], [0.3], [0.5], [0.9]])
    halves = Halves(["p", "p", "q", "r"])
    found = halves.means(scores)
    assert (len(halves), halves.has_all) == (8, True)
    assert found.shown == pytest.approx([0.45])
    assert found.by_patient[0] == pytest.approx([0.2, 0.5, 0.9])
    # p; q; p and q; r; p and r; q and r; all: sums over counts of cases.
    expected = [NAN, 0.2, 0.5, 0.9 / 3, 0.9, 1.3 / 3, 0.7, 0.45]
    assert found.by_half[0] == pytest.approx(expected, nan_ok=True)


def test_undefined_scores_are_left_out_as_they_are_of_the_shown_mean() -> None:
    found = Halves(["a", "b"]).means(np.array([[0.4, NAN], [NAN, NAN]]))
    assert found.shown == pytest.approx([0.4, NAN], nan_ok=True)
    assert found.by_half[0] == pytest.approx([NAN, 0.4, NAN, 0.4], nan_ok=True)
    assert np.isnan(found.by_half[1]).all()


@pytest.mark.parametrize(("n_patients", "has_all"), [(1, True), (15, True), (16, False), (40, False)])
def test_beyond_fifteen_patients_so_many_are_drawn_and_the_same_again(n_patients: int, has_all: bool) -> None:
    patients = [f"p{k:02}" for k in range(n_patients)]
    halves = Halves(patients)
    assert (halves.has_all, len(halves)) == (has_all, min(N_HALVES, 2**n_patients))
    one_hot = np.where(np.eye(n_patients) == 1, 1.0, NAN)
    is_in = ~np.isnan(halves.means(one_hot).by_half)
    assert not is_in[:, 0].any()
    assert is_in[:, 1:].any()
    # Each patient is in half of them, and any two are there together in a quarter.
    assert is_in.mean() == pytest.approx(0.5, abs=0.01)
    if n_patients > 1:
        assert (is_in[0] & is_in[-1]).mean() == pytest.approx(0.25, abs=0.02)
    again = ~np.isnan(Halves(patients).means(one_hot).by_half)
    assert np.array_equal(is_in, again)


def test_the_mean_of_label_means_leaves_out_a_label_that_is_undefined_there() -> None:
    halves = Halves(["a", "b"])
    organ, lesion = np.array([[0.8], [0.6]]), np.array([[NAN], [0.2]])
    foreground = LabelMeans()
    for scores in (organ, lesion):
        foreground.add(halves.means(scores))
    found = foreground.mean()
    assert found.shown == pytest.approx([(0.7 + 0.2) / 2])
    assert found.by_half[0] == pytest.approx([NAN, 0.8, 0.4, 0.45], nan_ok=True)
    assert found.by_patient[0] == pytest.approx([0.8, 0.4])


@pytest.mark.parametrize("seed", range(5))
def test_where_the_denominators_agree_it_is_the_test_that_swaps_models_within_patients(seed: int) -> None:
    """As often as a half's difference is not positive, swapping makes the difference as large as it is."""
    left, right = np.random.default_rng(seed).normal(0.5, 0.2, (2, 9))
    found = Halves([f"p{k}" for k in range(9)]).means(np.column_stack([left, right])).by_half
    n_against = np.sum(np.isnan(found[0]) | (found[0] - found[1] <= 0))
    differences = left - right
    swapped = [np.dot(signs, differences) for signs in product((1, -1), repeat=9)]
    assert n_against == np.sum(np.array(swapped) >= differences.sum() - 1e-12)


def test_the_halves_are_those_that_were_drawn_before() -> None:
    """A comparison that an earlier version made is made again to the last digit."""
    found = Halves([f"p{k:02}" for k in range(20)]).means(np.arange(20.0)[:, None])
    assert found.by_half[0, [1, 2, 1024, -1]] == pytest.approx([77 / 9, 82 / 7, 23 / 3, 8.0])


@pytest.mark.parametrize(("n_patients", "n_halves", "n"), [(3, 8, 8), (3, 7, 7), (3, 9, 8), (2, 8, 4), (4, 8, 8)])
def test_all_halves_are_taken_where_they_are_few_enough(n_patients: int, n_halves: int, n: int) -> None:
    halves = Halves([str(k) for k in range(n_patients)], n_halves=n_halves)
    assert (halves.n_patients, len(halves), halves.has_all) == (n_patients, n, 2**n_patients <= n_halves)


@pytest.mark.parametrize(("n_patients", "n_bytes"), [(16, 2), (17, 3), (24, 3), (25, 4)])
def test_eight_patients_of_a_half_take_a_byte(n_patients: int, n_bytes: int) -> None:
    assert Halves([f"{k:02}" for k in range(n_patients)])._packed.shape == (N_HALVES, n_bytes)


@pytest.mark.parametrize("at_once", [1, 3, 5, 8, 9])
def test_means_do_not_hang_on_how_many_halves_are_taken_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    scores = np.array([[0.1, NAN], [0.3, 0.5], [0.5, NAN]])
    whole = Halves(list("abc")).means(scores)
    monkeypatch.setattr(halves_module, "_HALVES_AT_ONCE", at_once)
    assert [start for start, _ in Halves(list("abc"))._blocks()] == list(range(0, 8, at_once))
    assert Halves(list("abc")).means(scores).by_half == pytest.approx(whole.by_half, nan_ok=True)


def test_some_columns_are_those_of_all_three_means() -> None:
    found = Halves(list("ab")).means(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])).columns(slice(1, 3))
    assert (found.shown.tolist(), found.by_half.shape) == (pytest.approx([0.35, 0.45]), (2, 4))
    assert found.by_patient.tolist() == [[0.2, 0.5], [0.3, 0.6]]
