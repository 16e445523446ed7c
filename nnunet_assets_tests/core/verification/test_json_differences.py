"""Which values of a JSON content are not as they should be."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.verification.json_differences import CLOSE, json_differences

CONTENT: dict[str, Any] = {"a": {"b": [1, 2.5, None]}, "c": "text", "d": True}


def differing(**changes: Any) -> list[str]:
    return [one.sentence() for one in json_differences({**copy.deepcopy(CONTENT), **changes}, CONTENT)]


def test_the_same_has_none_and_nan_is_itself() -> None:
    assert differing() == []
    nan = json.loads("[NaN]")
    assert json_differences(nan, json.loads("[NaN]")) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"a": {"b": [1, 2.6, None]}}, "a.b[1] is 2.6, and should be 2.5."),
        ({"a": {"b": [1, 2.5, 0]}}, "a.b[2] is 0, and should be null."),
        ({"a": {"b": [1, 2.5]}}, "a.b is [1, 2.5], and should be [1, 2.5, None]."),
        ({"a": {}}, "a.b is missing; it should be [1, 2.5, None]."),
        ({"d": 1}, "d is 1, and should be True."),
        ({"c": 3}, "c is 3, and should be 'text'."),
        ({"e": 3}, "e should not be there: it says 3."),
    ],
)
def test_a_value_is_named_by_its_path(changes: dict[str, Any], sentence: str) -> None:
    assert differing(**changes) == [sentence]


def test_something_else_altogether_is_one_difference() -> None:
    assert [one.where for one in json_differences([], {})] == ["the content"]


@given(st.floats(0.01, 1))
def test_numbers_may_be_close_where_it_is_said(number: float) -> None:
    assert json_differences([number * (1 + 1e-12)], [number], close=CLOSE) == []
    assert json_differences([number + 1e-6], [number], close=CLOSE) != []
    assert json_differences([number + 1e-6], [number]) != []


@pytest.mark.parametrize(
    ("found", "expected", "is_same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (None, None, True),
        (None, 0, False),
        ("1", 1, False),
        (1, "1", False),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (1.0, float("nan"), False),
        ((1, 2), [1, 2], True),
        ([1, 2], [1, 3], False),
        ([], [1], False),
        ([1], {"0": 1}, False),
        ({}, [], False),
        ([], None, False),
        (float("inf"), float("inf"), True),
    ],
)
@pytest.mark.parametrize("close", [0.0, CLOSE])
def test_values_are_the_same_only_where_their_kinds_are(found: Any, expected: Any, is_same: bool, close: float) -> None:
    assert (json_differences({"a": found}, {"a": expected}, close=close) == []) is is_same


def test_close_numbers_are_close_by_their_size_and_near_zero_by_as_much() -> None:
    assert json_differences([1e6 + 1e-4, 1e-10, 2], [1e6, 0.0, 2], close=CLOSE) == []
    assert [one.where for one in json_differences([1e6 + 1e-2, 1e-8], [1e6, 0.0], close=CLOSE)] == ["[0]", "[1]"]


def test_the_path_begins_where_it_is_said_and_what_should_be_there_goes_first() -> None:
    found = json_differences({"b": {"x": None}, "c": "t"}, {"a": 1, "b": {"x": 2}}, where="top")
    assert [(one.where, one.found, one.expected) for one in found] == [
        ("top.a", None, "1"),
        ("top.b.x", "null", "2"),
        ("top.c", "'t'", None),
    ]
