"""The rule of the choice, against a plain computation on cases that are written out one by one."""

from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.selection import choice
from nnunet_assets.core.selection.choice import Units, foreground, student, units_of_cases

NAN = float("nan")


def units(scores: Any, *, folds: Any = None, patients: Any = None, simplicity: Any = None) -> Units:
    """Of `(M, n_cases)` scores of one label, or `(M, n_cases, n_labels)`; each case is a patient unless said."""
    array = np.asarray(scores, dtype=float)
    array = array[:, :, None] if array.ndim == 2 else array
    n_candidates, n_cases, _ = array.shape
    return Units.of(
        array,
        [str(fold) for fold in (folds or range(n_cases))],
        [str(one) for one in (patients or range(n_cases))],
        simplicity if simplicity is not None else range(n_candidates),
    )


def chosen(found: Units, weights: Any = None) -> int:
    return int(found.chosen(np.ones((1, len(found.fold))) if weights is None else np.array([weights], float))[0])


def test_the_best_is_taken_where_it_is_told_from_all_others() -> None:
    assert chosen(units([[0.50, 0.60, 0.70], [0.60, 0.70, 0.80], [0.55, 0.65, 0.75]])) == 1


def test_the_simplest_of_those_that_cannot_be_told_from_the_best_is_taken() -> None:
    scores = [[0.5, 0.9, 0.7], [0.9, 0.5, 0.8], [0.1, 0.1, 0.1]]
    assert chosen(units(scores, simplicity=[1, 2, 0])) == 0
    assert chosen(units(scores, simplicity=[2, 1, 0])) == 1


def test_of_equally_simple_ones_that_with_the_better_mean_is_taken_and_then_the_first() -> None:
    assert chosen(units([[0.5, 0.9, 0.7], [0.9, 0.5, 0.8]], simplicity=[1, 1])) == 1
    assert chosen(units([[0.5, 0.9, 0.7], [0.5, 0.9, 0.7]], simplicity=[1, 1])) == 0
    assert chosen(units([[0.5, 0.9, 0.7], [0.9, 0.5, 0.8]], simplicity=[np.inf, np.inf])) == 1


def test_means_that_differ_in_their_last_digits_alone_are_the_same() -> None:
    assert chosen(units([[0.5, 0.9, 0.7], [0.5, 0.9, 0.7 + 3 * 4e-13]], simplicity=[1, 1])) == 0
    assert chosen(units([[0.5, 0.9, 0.7], [0.5, 0.9, 0.7 + 3 * 4e-12]], simplicity=[1, 1])) == 1


def test_a_patient_that_is_drawn_twice_counts_as_two() -> None:
    scores = [[0.8, 0.5, 0.7], [0.5, 0.9, 0.6]]
    twice = units([[*row, row[1]] for row in scores])
    assert chosen(units(scores), [1, 2, 1]) == chosen(twice)
    once, drawn = twice.differences(np.ones((1, 4))), units(scores).differences(np.array([[1.0, 2.0, 1.0]]))
    assert drawn.reach == pytest.approx(once.reach)
    assert drawn.means == pytest.approx(once.means)


def test_one_patient_tells_nothing_apart() -> None:
    assert chosen(units([[0.1], [0.9]])) == 0


def test_cases_of_a_patient_are_one_vote() -> None:
    scores = [[0.50, 0.51, 0.50, 0.51], [0.60, 0.61, 0.60, 0.61]]
    assert chosen(units(scores)) == 1
    assert chosen(units(scores, folds=[0] * 4, patients=[0] * 4)) == 0


def test_an_undefined_mean_counts_as_a_perfect_one() -> None:
    # Nothing to find in any case: the second rightly draws nothing, the first hallucinates.
    assert chosen(units([[0.0, 0.0, 0.0], [NAN, NAN, NAN]])) == 1
    found = units([[0.0, 0.0], [NAN, NAN]]).differences(np.ones((1, 2)))
    assert found.behind.tolist() == [[1.0, 0.0]]
    assert np.isnan(found.means[0, 1])


def test_two_patients_of_one_mind_tell_them_apart() -> None:
    assert chosen(units([[0.5, 0.5], [0.9, 0.9]])) == 1
    found = units([[0.5, 0.5], [0.9, 0.9]]).differences(np.array([[1.0, 1.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
    assert found.reach[:, 0].tolist() == [pytest.approx(0.0), pytest.approx(0.0), np.inf, np.inf]


def test_units_are_patients_within_folds() -> None:
    pairs, unit = units_of_cases(["1", "0", "1", "0"], ["b", "b", "b", "a"])
    assert (pairs.tolist(), unit.tolist()) == ([["0", "0", "1"], ["a", "b", "b"]], [2, 1, 2, 0])
    found = units([[0.1, 0.2, 0.3, NAN]], folds=[1, 2, 1, 2], patients=[9, 9, 9, 8])
    assert (found.n_folds, found.n_patients) == (2, 2)
    assert (found.fold.tolist(), found.patient.tolist()) == ([0, 1, 1], [1, 0, 1])
    assert found.sums[0, :, 0].tolist() == pytest.approx([0.4, 0.0, 0.2])
    assert found.counts[0, :, 0].tolist() == [2.0, 0.0, 1.0]
    three = units([[0.5] * 3] * 2)
    assert (three.n_folds, three.n_patients) == (3, 3)


def test_some_of_the_candidates_keep_their_scores_and_simplicity() -> None:
    found = units([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], simplicity=[3, 2, 1]).some(np.array([2, 0]))
    assert (found.sums[:, 0, 0].tolist(), found.simplicity.tolist()) == ([0.5, 0.1], [1.0, 3.0])
    assert found.counts.shape == (2, 2, 1)


def test_a_candidate_that_is_not_allowed_is_neither_the_best_nor_taken() -> None:
    scores = [[0.1, 0.1, 0.1], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]]
    found, everything = units(scores, simplicity=[0, 1, 1, 2]), np.ones((4, 3))
    allowed = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0]], dtype=bool)
    assert found.chosen(everything, allowed).tolist() == [3, 1, 2, 0]
    verdict = found.differences(everything, allowed)
    assert verdict.best.tolist() == [3, 1, 2, 0]
    assert verdict.behind[1].tolist() == pytest.approx([0.4, 0.0, 0.0, -0.4])
    # Even where every score is below 0, as negative distances are, one that is not allowed is not the best.
    below = units([[-0.9] * 3, [-0.5] * 3])
    assert below.differences(np.ones((1, 3)), np.array([[True, False]])).best.tolist() == [0]


def test_weightings_are_taken_in_blocks_of_so_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = units([[0.5, 0.9, 0.7], [0.9, 0.5, 0.8]])
    weights = np.array([[1.0, 0, 0], [0, 3, 0], [0, 0, 3], [3, 0, 0], [1, 1, 1]])
    allowed = np.array([[True, True], [True, False], [False, True], [True, True], [True, True]])
    expected, restricted = found.chosen(weights).tolist(), found.chosen(weights, allowed).tolist()
    assert (expected, restricted) == ([0, 0, 1, 1, 0], [0, 0, 1, 1, 0])
    for numbers, sizes in ((13, [2, 2, 1]), (18, [3, 2]), (5, [1] * 5), (30, [5])):
        monkeypatch.setattr(choice, "_NUMBERS_AT_ONCE", numbers)
        seen: list[int] = []
        whole = Units._chosen

        def noted(self: Units, block: Any, of: Any, seen: list[int] = seen, whole: Any = whole) -> Any:
            seen.append(len(block))
            return whole(self, block, of)

        with monkeypatch.context() as patched:
            patched.setattr(Units, "_chosen", noted)
            assert found.chosen(weights).tolist() == expected
            assert found.chosen(weights, allowed).tolist() == restricted
        assert seen == [*sizes, *sizes]


def test_pseudo_scores_are_how_far_each_patient_is_from_the_mean() -> None:
    found = units([[0.1, 0.2, 0.6], [0.5, 0.5, NAN]]).pseudo_scores()
    assert found.tolist() == [pytest.approx([-0.2, -0.1, 0.3]), [0.0, 0.0, 0.0]]
    # Two labels, one of them in one case alone: each has half of the mean, and the one of one case never moves.
    two = units([[[0.1, 0.4], [0.3, NAN]]]).pseudo_scores()
    assert two.tolist() == [pytest.approx([-0.05, 0.05])]
    nothing = units([[[NAN, 0.2], [NAN, 0.4]]]).pseudo_scores()
    assert nothing.tolist() == [pytest.approx([-0.1, 0.1])]


def test_a_foreground_mean_is_of_the_labels_that_are_defined() -> None:
    sums, counts = np.array([[1.0, 3.0], [1.0, 0.0], [0.0, 0.0]]), np.array([[2.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    assert foreground(sums, counts).tolist() == pytest.approx([0.625, 1.0, NAN], nan_ok=True)


def test_students_reach_goes_by_the_number_of_patients() -> None:
    assert student(np.array([2.0, 6.0, 2.0, 31.0])).tolist() == pytest.approx([12.706, 2.571, 12.706, 2.042], abs=1e-3)


SCORES = st.sampled_from([NAN, 0.0, 0.25, 0.5, 0.625, 0.75, 1.0])


@given(st.data())
def test_means_and_errors_are_those_of_the_cases_written_out(data: Any) -> None:
    n_candidates, n_labels = data.draw(st.integers(2, 3)), data.draw(st.integers(1, 3))
    patients = data.draw(st.lists(st.integers(0, 4), min_size=2, max_size=7))
    weights = {one: data.draw(st.integers(0, 2)) for one in sorted(set(patients))}
    scores = np.array([[[data.draw(SCORES) for _ in range(n_labels)] for _ in patients] for _ in range(n_candidates)])
    found = units(scores, folds=[0] * len(patients), patients=patients)
    by_unit = [weights[one] for one in sorted(set(patients))]
    verdict = found.differences(np.array([by_unit], float))
    for one in range(n_candidates):
        assert verdict.means[0, one] == pytest.approx(plain_mean(scores[one], patients, weights), nan_ok=True)
    best = int(verdict.best[0])
    for one in range(n_candidates):
        expected = plain_reach(scores[one], scores[best], patients, weights)
        assert verdict.reach[0, one] == pytest.approx(expected, abs=1e-9)


def plain_mean(scores: Any, patients: Any, weights: Any) -> float:
    """Returns nnU-Net's foreground mean of the cases, each as often as its patient was drawn."""
    rows = [row for row, one in zip(scores, patients, strict=True) for _ in range(weights[one])]
    means = [fmean(values) for label in range(scores.shape[1]) if (values := defined(rows, label))]
    return fmean(means) if means else NAN


def defined(rows: Any, label: int) -> list[float]:
    return [row[label] for row in rows if not np.isnan(row[label])]


def plain_reach(scores: Any, best: Any, patients: Any, weights: Any) -> float:
    """Returns Student's 95 % of the sum over patients of what each moves the difference by."""

    from scipy.special import stdtrit

    def moved(of: Any, patient: int) -> float:
        rows = [row for row, one in zip(of, patients, strict=True) for _ in range(weights[one])]
        labels = [label for label in range(of.shape[1]) if defined(rows, label)]
        own = [row for row, one in zip(of, patients, strict=True) if one == patient]
        return sum(
            (value - fmean(defined(rows, label))) / len(defined(rows, label)) / len(labels)
            for label in labels
            for value in defined(own, label)
        )

    n = sum(weights.values())
    if n < 2:
        return float("inf")
    variance = sum(times * (moved(scores, one) - moved(best, one)) ** 2 for one, times in weights.items() if times)
    return float(stdtrit(n - 1, 0.975) * (variance * n / (n - 1)) ** 0.5)


def test_means_that_differ_in_their_twelfth_digit_are_different_and_in_their_thirteenth_are_not() -> None:
    for less, best in ((3e-12, 1), (3e-13, 0)):
        found = units([[0.5 - less, 0.5 - less], [0.5, 0.5]]).differences(np.ones((1, 2)))
        assert found.best.tolist() == [best]
