import numpy as np
import pytest

from nnunet_assets.core.estimate import Interval
from nnunet_assets.core.resampling import Resamples
from nnunet_assets_tests.simulations import COHORTS, coverage

UNDEFINED = float("nan")


def column(*values):
    return np.array(values, dtype=float)[:, None]


def interval_of(values, patients=None, **options):
    patients = [f"p{k}" for k in range(len(values))] if patients is None else patients
    return Resamples(patients, **options).means(column(*values)).interval()


def test_the_interval_of_equal_scores_is_their_value():
    assert interval_of([0.75] * 8) == Interval(0.75, 0.75)


@pytest.mark.parametrize("n", [6, 7, 10])
@pytest.mark.parametrize("shift", [1 / 3, 0.7])
def test_resamples_that_equal_the_mean_count_as_such_however_the_machine_rounds_them(n, shift):
    values = np.arange(1, n + 1) / 10
    found, shifted = interval_of(values), interval_of(values + shift)
    assert (shifted.low - shift, shifted.high - shift) == pytest.approx((found.low, found.high), abs=1e-8)


def test_the_interval_of_symmetric_scores_is_nearly_that_of_students_t():
    values = np.linspace(0.6, 0.9, 31)
    half = 2.042 * values.std(ddof=1) / np.sqrt(31)
    found = interval_of(values)
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.1 * half)


def test_scores_with_a_tail_below_have_an_interval_that_reaches_further_down():
    values = [0.9, 0.91, 0.92, 0.9, 0.89, 0.93, 0.9, 0.91, 0.2, 0.88, 0.92, 0.9]
    found = interval_of(values)
    mean = np.mean(values)
    assert mean - found.low > 2 * (found.high - mean)


def test_patients_stand_for_all_of_their_cases():
    """Ten equal cases a patient say no more than one; drawn as cases they would."""
    one_each = [0.5, 0.6, 0.7, 0.8, 0.9, 0.65, 0.75, 0.85]
    ten_each = [value for value in one_each for _ in range(10)]
    patients = [f"p{k}" for k in range(8) for _ in range(10)]
    clustered, alone = interval_of(ten_each, patients), interval_of(one_each)
    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    as_cases = interval_of(ten_each)
    assert as_cases.high - as_cases.low < 0.5 * (alone.high - alone.low)


def test_undefined_scores_are_left_out_and_their_patients_do_not_count():
    values = [0.5, 0.6, 0.7, 0.8, 0.9]
    assert interval_of([*values, UNDEFINED, UNDEFINED]) is None
    assert interval_of([*values, 0.7, UNDEFINED]) is not None


@pytest.mark.parametrize("values", [[], [0.5], [0.5] * 5, [UNDEFINED] * 9])
def test_of_fewer_than_six_patients_there_is_no_interval(values):
    assert interval_of(values) is None


def test_the_same_patients_give_the_same_draws_in_whatever_order_and_another_seed_gives_others():
    values, patients = [0.51, 0.63, 0.74, 0.86, 0.91, 0.4, 0.77], list("abcdefg")
    first = interval_of(values, patients)
    assert interval_of(values[::-1], patients[::-1]) == first
    assert interval_of(values, patients, seed=1) != first


def test_a_mean_over_columns_is_that_of_the_column_means_where_some_are_undefined():
    # Two labels: 0.6 and 0.4, the second in two cases alone, the third in none.
    values = np.array([[0.5, UNDEFINED, UNDEFINED], [0.6, 0.3, UNDEFINED], [0.7, 0.5, UNDEFINED]])
    means = Resamples(list("abc")).means(values)
    assert means.estimate[:2] == pytest.approx([0.6, 0.4])
    assert means.over_columns().estimate == pytest.approx([0.5])
    assert means.n_patients.tolist() == [3, 2, 0]


def test_the_mean_of_each_patient_goes_over_its_defined_cases():
    resamples = Resamples(["b", "a", "b", "c"])
    assert resamples.by_patient(np.array([0.2, 0.5, 0.4, UNDEFINED])) == pytest.approx(
        [0.5, 0.3, UNDEFINED], nan_ok=True
    )


@pytest.mark.parametrize("name", COHORTS)
def test_intervals_of_thirty_patients_hold_the_truth_as_often_as_they_say(name):
    """800 cohorts tell 95 % from 91 %; benchmarks/statistics_simulation.py draws 10,000."""
    assert coverage(name, n_patients=30, n_cohorts=800, n_resamples=999, seed=5) == pytest.approx(0.95, abs=0.025)
