"""A mean and its spread, worked out by hand, and as older versions wrote them."""

from dataclasses import asdict, replace
from math import sqrt
from typing import Any

import pytest

from nnunet_assets.core.statistics.estimate import (
    CONFIDENCE,
    FULL_WEIGHT_PATIENTS,
    MIN_PATIENTS,
    MIN_PATIENTS_UNBOUNDED,
    SAME_SCORE,
    Bootstrap,
    Estimate,
    Interval,
    mean_of_defined,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Estimate(None, None, 0, 0)),
        ([None], Estimate(None, None, 1, 0)),
        ([0.0], Estimate(0.0, None, 1, 1, median=0.0)),
        ([0.0, None], Estimate(0.0, None, 2, 1, median=0.0)),
        ([0.5, 0.5], Estimate(0.5, 0.0, 2, 2, median=0.5, q1=0.5, q3=0.5)),
        # A quarter and three quarters of the way from the smallest to the largest.
        ([0.0, 1.0], Estimate(0.5, sqrt(0.5), 2, 2, median=0.5, q1=0.25, q3=0.75)),
        # Distances from 2.5: 1.5, 0.5, 0.5, 1.5; the squares, 5, over three.
        ([4.0, 1.0, 3.0, 2.0], Estimate(2.5, sqrt(5 / 3), 4, 4, median=2.5, q1=1.75, q3=3.25)),
    ],
)
def test_undefined_is_missing_zero_is_a_score_and_one_value_has_no_spread(values: list[Any], expected: Any) -> None:
    assert Estimate.of(values) == expected


def test_the_mean_is_of_what_is_defined() -> None:
    assert mean_of_defined([0.0, None, 0.5]) == 0.25
    assert mean_of_defined([None, None]) is None


def test_an_estimate_reads_back_and_older_ones_say_less() -> None:
    found = replace(Estimate.of([0.0, 1.0, None]), interval=Interval(0.25, 0.5))
    assert Estimate.from_json(asdict(found)) == found
    assert Estimate.from_json(asdict(replace(found, interval=None))) == replace(found, interval=None)
    older = {"mean": 0.5, "sd": 0.1, "n": 3, "n_defined": 2}
    assert Estimate.from_json(older) == Estimate(0.5, 0.1, 3, 2)
    assert Estimate.from_json({**older, "ci_low": 0.25, "ci_high": 0.75}).interval == Interval(0.25, 0.75)
    assert Estimate.from_json({**older, "ci_low": None, "ci_high": None}).interval is None


def test_how_intervals_were_made_is_written_as_the_version_wrote_it_that_made_them() -> None:
    made: dict[str, Any] = {"clustered_by": "case", "n_clusters": 6, "n_resamples": 9999, "seed": 7, "confidence": 0.95}
    assert Bootstrap("case", 6, 9999, 7).to_json() == made
    assert Bootstrap("case", 6, 9999, 7, method="halves").to_json() == {**made, "method": "halves"}
    assert Bootstrap(**made).method == "bca"


def test_what_papers_will_cite_does_not_change_unnoticed() -> None:
    assert (CONFIDENCE, SAME_SCORE) == (0.95, 1e-12)
    assert (MIN_PATIENTS, MIN_PATIENTS_UNBOUNDED, FULL_WEIGHT_PATIENTS) == (6, 60, 30)
