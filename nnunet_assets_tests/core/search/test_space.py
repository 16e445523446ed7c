"""Points of a space, counted and listed by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.search.space import Dimension, Kind, Space, is_same_point, rungs

SCHEDULE = Dimension("lr_schedule", "choice", ("poly", "cosine"))
WARMUP = Dimension("warmup_epochs", "int", low=0, high=2, when={"lr_schedule": ("cosine",)})
RATE = Dimension("initial_lr", "log", low=1e-4, high=1e-1)


def test_a_dimension_with_a_condition_is_counted_where_it_holds_alone() -> None:
    space = Space((SCHEDULE, WARMUP))
    assert space.n_points == 4
    assert list(space.grid()) == [
        {"lr_schedule": "poly"},
        {"lr_schedule": "cosine", "warmup_epochs": 0},
        {"lr_schedule": "cosine", "warmup_epochs": 1},
        {"lr_schedule": "cosine", "warmup_epochs": 2},
    ]


def test_a_range_of_numbers_cannot_be_counted_nor_listed() -> None:
    space = Space((SCHEDULE, RATE))
    assert space.n_points is None
    with pytest.raises(ValueError, match="initial_lr is a range of numbers"):
        list(space.grid())


def test_a_point_is_of_a_space_with_just_the_parts_whose_conditions_hold() -> None:
    space = Space((SCHEDULE, WARMUP, RATE))
    assert space.holds({"lr_schedule": "poly", "initial_lr": 0.01})
    assert space.holds({"lr_schedule": "cosine", "warmup_epochs": 2, "initial_lr": 1e-4})
    assert not space.holds({"lr_schedule": "poly", "warmup_epochs": 2, "initial_lr": 0.01})
    assert not space.holds({"lr_schedule": "cosine", "initial_lr": 0.01})
    assert not space.holds({"lr_schedule": "poly", "initial_lr": 0.2})


def test_where_a_range_of_numbers_hangs_on_one_value_the_space_cannot_be_counted() -> None:
    rate = Dimension("initial_lr", "uniform", low=0.1, high=0.2, when={"lr_schedule": ("cosine",)})
    assert Space((SCHEDULE, rate)).n_points is None
    assert Space((rate,)).n_points == 1  # what it hangs on is nowhere


@pytest.mark.parametrize("kind", ["log", "uniform", "int", "log_int"])
def test_the_bounds_of_a_range_are_of_it(kind: Kind) -> None:
    dimension = Dimension("a", kind, low=2, high=8)
    assert [dimension.holds(value) for value in (1, 2, 8, 9)] == [False, True, True, False]
    assert dimension.ends == (2, 8)


def test_a_bound_that_is_not_given_is_zero() -> None:
    assert Dimension("a", "int", high=2).values == range(3)
    assert Dimension("a", "uniform", low=-1.0).ends == (-1.0, 0.0)


def test_all_of_several_conditions_must_hold_and_one_value_of_each() -> None:
    both = Dimension("c", "int", low=1, high=2, when={"a": (1, 2), "b": ("x",)})
    assert both.is_part_of({"a": 2, "b": "x"})
    for point in ({"a": 3, "b": "x"}, {"a": 1, "b": "y"}, {"a": 1}, {"b": "x"}, {"a": True, "b": "x"}, {}):
        assert not both.is_part_of(point)
    assert str(Space((both,))) == "c from 1 to 2 (whole) where a is 1 or 2 and b is x"
    assert str(Space((Dimension("d", "log_int", low=1, high=64),))) == "d from 1 to 64 (whole, log)"


def test_points_are_the_same_with_the_same_settings_alone() -> None:
    assert not is_same_point({"a": 1}, {"a": 1, "b": 2})
    assert not is_same_point({"a": 1, "b": 2}, {"a": 1, "b": 3})
    assert not is_same_point({"a": 1, "b": 2}, {"a": 0, "b": 2})


@pytest.mark.parametrize("value", [1.5, True, "1", None])
def test_whole_numbers_hold_no_others(value: object) -> None:
    assert WARMUP.holds(1)
    assert WARMUP.holds(1.0)
    assert not WARMUP.holds(value)


def test_a_range_without_breadth_is_one_point() -> None:
    fixed = Dimension("initial_lr", "uniform", low=0.1, high=0.1)
    assert Space((fixed,)).n_points == 1
    assert list(Space((fixed,)).grid()) == [{"initial_lr": 0.1}]


def test_one_and_true_are_two_values() -> None:
    assert not is_same_point({"a": 1}, {"a": True})
    assert is_same_point({"a": 1, "b": [2, 3]}, {"b": [2, 3], "a": 1})
    assert not Dimension("a", "choice", (True, False)).holds(1)


def test_a_space_in_words_says_scales_and_conditions() -> None:
    assert str(Space((SCHEDULE, WARMUP, RATE))) == (
        "lr_schedule: poly, cosine, warmup_epochs from 0 to 2 (whole) where lr_schedule is cosine, initial_lr from "
        "0.0001 to 0.1 (log)"
    )


@pytest.mark.parametrize(
    ("least", "most", "reduction", "expected"),
    [(30, 250, 3, [30, 90]), (30, 270, 3, [30, 90]), (2, 9, 2.0, [2, 4, 8]), (1, 2, 3, [1])],
)
def test_trials_are_compared_before_their_last_epoch(
    least: int, most: int, reduction: float, expected: list[float]
) -> None:
    assert rungs(least, most, reduction) == expected


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True), min_size=1, max_size=4))
def test_as_many_points_are_listed_as_are_counted_and_no_two_are_the_same(choices: list[list[int]]) -> None:
    dimensions = [Dimension(str(place), "choice", tuple(values)) for place, values in enumerate(choices)]
    if len(dimensions) > 1:
        condition = {"0": (choices[0][0],)}
        dimensions[-1] = Dimension(dimensions[-1].name, "choice", dimensions[-1].choices, when=condition)
    space = Space(tuple(dimensions))
    points = list(space.grid())
    assert len(points) == space.n_points
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)
    assert all(space.holds(point) for point in points)
