import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nnunet_assets.core.text.numbers import (
    apart,
    beside,
    fixed,
    measured,
    p_text,
    signed,
    signed_measured,
    signed_text_of,
    significant,
    text_of,
)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (-0.0, "0.000"),
        (-0.0004, "0.000"),
        (-0.0005001, "-0.001"),
        (0.8714, "0.871"),
        (-12.5, "-12.500"),
        (1e-9, "0.000"),
    ],
)
def test_zero_has_no_sign(number: float, text: str) -> None:
    assert fixed(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0.0123, "+0.0123"), (-0.0123, "-0.0123"), (-0.00004, "0.0000"), (0.0, "0.0000")]
)
def test_a_difference_has_a_sign_unless_it_rounds_to_zero(number: float, text: str) -> None:
    assert signed(number, 4) == text


@pytest.mark.parametrize(
    ("number", "limit", "text"),
    [
        (0.0499, 0.05, "0.0499"),
        (0.05, 0.05, "0.050"),
        (0.050004, 0.05, "0.050004"),
        (0.84996, 0.85, "0.84996"),
        (0.7, 0.85, "0.700"),
        (-0.00001, 0.0, "-0.00001"),
        (0.1 + 0.2, 0.3, "0.30000000000000004"),
    ],
)
def test_a_number_stays_on_its_side_of_a_limit(number: float, limit: float, text: str) -> None:
    assert beside(number, limit) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0499, "0.0499"),
        (0.04996, "0.04996"),
        (0.00996, "0.00996"),
        (0.031, "0.031"),
        (0.00099, "< 0.001"),
        (1.0, "1.000"),
    ],
)
def test_a_p_value_stays_on_its_side_of_the_levels_that_readers_judge_by(p: float, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (12.5, "12.500"),
        (0.0123, "0.0123"),
        (3.43e-07, "3.43e-07"),
        (-3.43e-07, "-3.43e-07"),
        (0.000999, "0.000999"),
        (1234.5678, "1234.568"),
        (0.1, "0.100"),
        (0.12345, "0.123"),
        (0.0999, "0.0999"),
        (0.0001234, "0.000123"),
        (0.0000999, "9.99e-05"),
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (math.inf, "inf"),
    ],
)
def test_a_volume_keeps_three_significant_digits(number: float, text: str) -> None:
    assert measured(number) == text


@pytest.mark.parametrize(
    ("number", "limit", "text"),
    [(0.0010004, 0.001, "0.0010004"), (7.0, 0.001, "7"), (0.0123456, 0.001, "0.0123"), (-0.0, 1.0, "0")],
)
def test_significant_digits_stay_on_their_side_of_a_limit(number: float, limit: float, text: str) -> None:
    assert significant(number, limit) == text


@pytest.mark.parametrize(
    ("number", "limit", "texts"),
    [
        (0.8499, 0.8501, ("0.8499", "0.8501")),
        (0.65, 0.68, ("0.650", "0.680")),
        (0.5, 0.5, ("0.500", "0.500")),
        (2.001e9 / 1e9, 2.0, ("2.001", "2.000")),
    ],
)
def test_two_numbers_that_differ_do_not_look_the_same(number: float, limit: float, texts: tuple[Any, ...]) -> None:
    assert apart(number, limit) == texts


def test_the_end_of_a_metrics_name_says_how_its_numbers_look() -> None:
    assert [text_of(name, 0.0123) for name in ("hd95_mm", "volume_error_ml", "dice")] == ["0.0123", "0.0123", "0.012"]
    assert [signed_text_of(name, 0.0123) for name in ("hd95_mm", "volume_error_ml", "dice")] == [
        "+0.0123",
        "+0.0123",
        "+0.012",
    ]


def test_a_difference_of_volumes_has_a_sign() -> None:
    assert [signed_measured(number) for number in (2.5, -2.5, 3.43e-07, 0.0)] == [
        "+2.500",
        "-2.500",
        "+3.43e-07",
        "0.000",
    ]


@given(NUMBERS, st.integers(0, 6))
@example(-0.0, 3)
@example(-0.0004, 3)
@example(67108864.953125, 5)
def test_no_text_is_a_negative_zero_and_none_is_farther_than_half_of_its_last_digit(number: Any, digits: Any) -> None:
    texts = [fixed(number, digits), signed(number, digits), beside(number, digits=digits)]
    for text in texts:
        assert not (text.startswith("-") and float(text) == 0)
        # Read back, it is the nearest number that there is to what it says.
        assert abs(float(text) - number) <= 0.5 * 10**-digits * (1 + 1e-9) + math.ulp(number)
    for text in (measured(number), signed_measured(number)):
        assert not (text.startswith("-") and float(text) == 0)
        assert math.isclose(float(text), number, rel_tol=0.0051, abs_tol=0.0)


@given(NUMBERS, st.one_of(NUMBERS, st.floats(-1e-6, 1e-6)), st.integers(1, 6))
def test_what_is_shown_compares_with_every_limit_as_the_number_does(number: Any, offset: Any, digits: Any) -> None:
    limit = number + offset
    for text in (beside(number, limit, digits=digits), significant(number, limit, digits=digits)):
        assert (float(text) < limit, float(text) > limit) == (number < limit, number > limit)
    one, other = map(float, apart(number, limit, digits))
    assert (one < other, one > other) == (number < limit, number > limit)
