import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.statistics import mean_intervals
from nnunet_assets.core.statistics.estimate import Bootstrap, Interval
from nnunet_assets.core.statistics.mean_intervals import (
    BOUNDS,
    N_RESAMPLES,
    SHARE,
    SIZE,
    Bounds,
    PatientWeights,
    bootstrap_of,
    bounds_of,
)
from nnunet_assets_tests.cohorts import coverage

UNDEFINED = float("nan")
RESAMPLES = 499

SCORES = st.floats(0, 1)
SHARED = settings(max_examples=60, deadline=None)


def names(n: Any) -> Any:
    return [f"p{k:03}" for k in range(n)]


def interval_of(values: Any, patients: Any = None, bounds: Any = SHARE, n_resamples: int = 9999) -> Any:
    column = np.array(values, dtype=float)[:, None]
    patients = names(len(values)) if patients is None else patients
    return PatientWeights(patients, n_resamples=n_resamples).means(column).interval(0, bounds)


def test_equal_scores_have_an_interval_by_hand() -> None:
    """Of n equal scores the added patient's share is Beta(1, n): 97.5 % of it lie below 1 - 0.025 ** (1 / n)."""
    found = interval_of([0.8] * 10)
    share = 1 - 0.025**0.1
    assert (found.low, found.high) == (
        pytest.approx(0.8 * (1 - share), abs=0.01),
        pytest.approx(0.8 + 0.2 * share, abs=0.005),
    )


def test_zeros_and_ones_have_nearly_the_interval_of_clopper_and_pearson() -> None:
    # 17 of 20: 0.621 to 0.968.
    found = interval_of([1.0] * 17 + [0.0] * 3)
    assert (found.low, found.high) == (pytest.approx(0.621, abs=0.006), pytest.approx(0.968, abs=0.006))


def test_evenly_spread_scores_of_many_have_nearly_the_interval_of_students_t() -> None:
    values = np.linspace(0.3, 0.9, 301)
    half = 1.968 * values.std(ddof=1) / np.sqrt(301)
    found = interval_of(values)
    assert (found.low, found.high) == (
        pytest.approx(0.6 - half, abs=0.12 * half),
        pytest.approx(0.6 + half, abs=0.12 * half),
    )


def test_of_fewer_than_six_patients_there_is_none_and_undefined_scores_do_not_count() -> None:
    values = [0.5, 0.6, 0.7, 0.8, 0.9]
    assert interval_of([*values, UNDEFINED, UNDEFINED]) is None
    assert interval_of([*values, 0.7, UNDEFINED]) is not None
    assert interval_of([0.5] * 12, [f"p{k % 5}" for k in range(12)]) is None


def test_of_lengths_there_is_none_below_sixty_patients() -> None:
    assert interval_of([2.0] * 59, bounds=SIZE) is None
    found = interval_of([2.0] * 60, bounds=SIZE)
    assert found.low < 2 < found.high


def test_scales_are_those_of_the_metrics() -> None:
    assert bounds_of("dice") == bounds_of("nsd_surface") == SHARE
    assert bounds_of("hd95_mm") == bounds_of("reference_ml") == SIZE
    assert bounds_of("volume_error_ml") == Bounds(None, None)
    assert SIZE.ends(1.0, 4.0) == (0.0, 8.0)
    assert Bounds(None, None).ends(-1.0, 4.0) == (-6.0, 9.0)
    assert Bounds(-1.0, None).ends(-0.5, 1.0) == (-1.0, 3.0)


def test_patients_stand_for_all_of_their_cases() -> None:
    """Ten equal cases a patient say no more than one."""
    one_each = [0.5, 0.6, 0.7, 0.8, 0.9, 0.65, 0.75, 0.85]
    ten_each = [value for value in one_each for _ in range(10)]
    assert interval_of(ten_each, [name for name in names(8) for _ in range(10)]) == interval_of(one_each)
    as_cases = interval_of(ten_each)
    assert as_cases.high - as_cases.low < 0.5 * (interval_of(one_each).high - interval_of(one_each).low)


def test_the_same_patients_have_the_same_interval_in_whatever_order() -> None:
    values, patients = [0.51, 0.63, 0.74, 0.86, 0.91, 0.4, 0.77], list("abcdefg")
    assert interval_of(values[::-1], patients[::-1]) == interval_of(values, patients)
    assert interval_of(values, [*patients[:-1], "another"]) != interval_of(values, patients)


def test_the_mean_of_columns_is_that_of_the_column_means_and_needs_six_patients_in_each() -> None:
    rng = np.random.default_rng(0)
    values = rng.beta(8, 2, (8, 3))
    values[:, 2] = UNDEFINED
    means = PatientWeights(names(8)).means(values)
    found = means.interval_over_columns(SHARE)
    assert found.low < values[:, :2].mean() < found.high
    # The columns fail together in the added patient, so that they are no surer together than alone.
    assert found.low < max(means.interval(k, SHARE).low for k in range(2)) + 0.05
    values[:3, 1] = UNDEFINED
    assert PatientWeights(names(8)).means(values).interval_over_columns(SHARE) is None
    assert PatientWeights(names(8)).means(np.full((8, 2), UNDEFINED)).interval_over_columns(SHARE) is None


def assert_not_better(after: Any, before: Any) -> None:
    """Neither end moved up; where there is no interval, nothing can have."""
    if after is not None and before is not None:
        assert after.low <= before.low + 1e-9
        assert after.high <= before.high + 1e-9


class TestNoFailureMovesAnEndUp:
    @SHARED
    @given(st.lists(SCORES, min_size=6, max_size=40), st.data())
    def test_where_a_score_gets_worse(self, scores: Any, data: Any) -> None:
        index = data.draw(st.integers(0, len(scores) - 1))
        worse = [*scores]
        worse[index] = data.draw(st.floats(0, scores[index]))
        before, after = (interval_of(values, n_resamples=RESAMPLES) for values in (scores, worse))
        assert_not_better(after, before)

    @SHARED
    @given(st.lists(SCORES, min_size=6, max_size=80), st.text(max_size=8))
    def test_where_a_failed_case_of_another_patient_is_added(self, scores: Any, name: Any) -> None:
        patients = names(len(scores))
        before = interval_of(scores, patients, n_resamples=RESAMPLES)
        after = interval_of([0.0, *scores], [f"{name}!", *patients], n_resamples=RESAMPLES)
        assert_not_better(after, before)

    @SHARED
    @given(st.lists(st.one_of(SCORES, st.none()), min_size=6, max_size=40), st.data())
    def test_where_a_label_is_hallucinated_in_a_case_that_has_none(self, scores: Any, data: Any) -> None:
        values = [UNDEFINED if score is None else score for score in [*scores, None]]
        empty = [index for index, score in enumerate(values) if np.isnan(score)]
        failing = [*values]
        failing[data.draw(st.sampled_from(empty))] = 0.0
        before, after = (interval_of(found, n_resamples=RESAMPLES) for found in (values, failing))
        assert_not_better(after, before)

    @SHARED
    @given(st.integers(6, 40), st.integers(0, 2**32 - 1), st.data())
    def test_in_the_foreground_of_several_labels_in_several_scans_of_a_patient(
        self, n_cases: Any, seed: Any, data: Any
    ) -> None:
        rng = np.random.default_rng(seed)
        values = rng.random((n_cases, 3))
        values[rng.random((n_cases, 3)) < 0.2] = UNDEFINED
        row, column = data.draw(st.integers(0, n_cases - 1)), data.draw(st.integers(0, 2))
        failing = values.copy()
        failing[row, column] = 0.0
        weights = PatientWeights([f"p{k // 2}" for k in range(n_cases)], n_resamples=RESAMPLES)
        before, after = (weights.means(found).interval_over_columns(SHARE) for found in (values, failing))
        assert_not_better(after, before)

    @SHARED
    @given(st.lists(st.floats(0, 300), min_size=60, max_size=70), st.data())
    def test_and_of_distances_none_moves_down(self, distances_mm: Any, data: Any) -> None:
        index = data.draw(st.integers(0, len(distances_mm) - 1))
        worse = [*distances_mm]
        worse[index] = data.draw(st.floats(distances_mm[index], 500))
        before, after = (interval_of(v, bounds=SIZE, n_resamples=RESAMPLES) for v in (distances_mm, worse))
        assert after.low >= before.low - 1e-9
        assert after.high >= before.high - 1e-9


def test_how_intervals_were_made_is_written_and_older_files_do_not_say_it() -> None:
    made = bootstrap_of("patient", 12)
    assert Bootstrap(**json.loads(json.dumps(made.to_json()))) == made
    older = Bootstrap("case", n_clusters=10, n_resamples=9999, seed=1)
    assert "method" not in older.to_json()
    assert Bootstrap(**older.to_json()).method == "bca"


@pytest.mark.parametrize("n_patients", [6, 10, 30, 50])
@pytest.mark.parametrize(
    "name", ["normal", "skewed", "failing_20th", "failing_10th", "failing_third", "ceiling", "scans"]
)
def test_intervals_hold_the_truth_as_often_as_they_say(name: str, n_patients: int) -> None:
    """400 cohorts tell 95 % from 91 %; benchmarks/coverage.py draws thousands, and docs/intervals.md has the table."""
    found = coverage(name, n_patients=n_patients, n_cohorts=400, n_resamples=999, seed=5)
    assert found.held >= 0.925


def test_each_metric_is_bounded_as_it_can_be() -> None:
    assert BOUNDS["volume_error_relative"] == Bounds(-1.0, None)  # a volume can be missed whole, and no more
    assert BOUNDS["volume_error_ml"] == Bounds(None, None)
    assert BOUNDS["dice"] == BOUNDS["nsd"] == SHARE == Bounds(0.0, 1.0)
    assert ("hd95_mm" in BOUNDS, SIZE) == (False, Bounds(0.0, None))


def test_as_many_weights_are_drawn_as_the_pages_say() -> None:
    assert N_RESAMPLES == 9999


class TestWhatWasDrawnBefore:
    """A summary that an earlier version made is made again to the last digit that it shows."""

    SCORES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.65, 0.75, 0.85)

    def test_of_scores(self) -> None:
        assert interval_of(self.SCORES) == Interval(0.448157556, 0.843584246)

    def test_of_several_labels(self) -> None:
        values = np.array(self.SCORES)
        squares = np.where(np.arange(8) == 7, UNDEFINED, values**2)
        found = PatientWeights(names(8)).means(np.stack([values, squares], axis=1)).interval_over_columns(SHARE)
        assert found == Interval(0.367110069, 0.786851985)

    def test_of_sizes(self) -> None:
        values = np.arange(70) / 10 + 1
        assert interval_of(values, bounds=SIZE) == Interval(3.949182574, 5.06209085)
        assert interval_of(values, bounds=Bounds(None, None)) == Interval(3.867000518, 5.04696703)

    @pytest.mark.parametrize("at_once", [1, 3, 7, 8])
    def test_however_many_patients_are_taken_at_once(self, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
        monkeypatch.setattr(mean_intervals, "_PATIENTS_AT_ONCE", at_once)
        assert interval_of(self.SCORES) == Interval(0.448157556, 0.843584246)


@pytest.mark.parametrize(
    ("bounds", "fewest"),
    [(SHARE, 6), (SIZE, 60), (Bounds(None, None), 60), (Bounds(None, 1.0), 60), (Bounds(-1.0, None), 60)],
)
def test_without_a_bound_on_either_side_it_takes_more_patients(bounds: Bounds, fewest: int) -> None:
    assert bounds.min_patients == fewest


def test_of_no_case_there_is_no_weight_and_of_each_column_its_own_range() -> None:
    weights = PatientWeights(["a", "a", "b"], n_resamples=5)
    found = weights.means(np.array([[0.2, UNDEFINED], [0.4, UNDEFINED], [0.9, UNDEFINED]]))
    assert weights.n_patients == 2
    assert (found.n_patients.tolist(), found.n_cases_added.tolist()) == ([2, 0], [pytest.approx(5 / 3), 0.0])
    assert (found.smallest.tolist(), found.largest.tolist()) == ([0.2, np.inf], [0.9, -np.inf])
    assert (found.chances >= 0).all()
    assert (found.chances <= 1).all()
