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
