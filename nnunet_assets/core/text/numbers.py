"""Numbers as people read them, wherever one stands in a table, a page or a sentence.

Zero has no sign: a mean of -0.0001 with three decimals is 0.000. A number that stands beside a limit is never rounded
to its other side: 0.0499 is below 0.05, and so is what is shown. Lengths and volumes have a unit that no range bounds:
of 3.43e-07 ml three decimals would leave nothing. Files for programs hold full precision and need none of this.
"""

import math

P_LIMITS = (0.05, 0.01)
"""Levels at which readers judge a p value."""

_MOST_DIGITS = 17
_UNITS = ("_mm", "_ml")


def fixed(number: float, digits: int = 3) -> str:
    """Returns the number with so many decimals, zero without a sign: `0.871`, and `0.000` of -0.0001."""
    text = f"{number:.{digits}f}"
    return text.removeprefix("-") if _is_zero(text) else text


def signed(number: float, digits: int = 3) -> str:
    """Returns the number with its sign; one that rounds to zero has none: `+0.012`, `-0.012`, `0.000`."""
    text = f"{number:+.{digits}f}"
    return text[1:] if _is_zero(text) else text


def beside(number: float, *limits: float, digits: int = 3) -> str:
    """Returns the number with so many decimals, and more where fewer would put it on another side of a limit.

    0.0499 beside 0.05 is `0.0499`, with three decimals it would read as the limit itself.
    """
    for more in range(digits, _MOST_DIGITS + 1):
        text = fixed(number, more)
        if all(_side(float(text), limit) == _side(number, limit) for limit in limits):
            return text
    return repr(number)


def significant(number: float, *limits: float, digits: int = 3) -> str:
    """Returns the number with so many significant digits, more where fewer would put it across a limit: `0.0123`."""
    for more in range(digits, _MOST_DIGITS + 1):
        text = f"{number + 0.0:.{more}g}"
        if all(_side(float(text), limit) == _side(number, limit) for limit in limits):
            return text
    return repr(number)


def apart(number: float, limit: float, digits: int = 3) -> tuple[str, str]:
    """Returns both with the same decimals: so many, and more where with fewer they would not compare as they do."""
    for more in range(digits, _MOST_DIGITS + 1):
        texts = fixed(number, more), fixed(limit, more)
        if _side(*map(float, texts)) == _side(number, limit):
            return texts
    return repr(number), repr(limit)


def text_of(metric: str, number: float) -> str:
    """Returns a value of a metric as its unit, by the end of its name, has it: `_mm`, `_ml` or none."""
    return measured(number) if metric.endswith(_UNITS) else fixed(number)


def signed_text_of(metric: str, difference: float) -> str:
    """Returns a difference of a metric, likewise, with its sign."""
    return signed_measured(difference) if metric.endswith(_UNITS) else signed(difference)


def measured(number: float) -> str:
    """Returns a length or volume with three decimals, or with three significant digits where that shows more.

    12.5 is `12.500`, 0.0123 is `0.0123`, 3.43e-07 is `3.43e-07`.
    """
    if number == 0 or not math.isfinite(number) or abs(number) >= 0.1:
        return fixed(number)
    magnitude = math.floor(math.log10(abs(number)))
    return f"{number:.{2 - magnitude}f}" if magnitude >= -4 else f"{number:.2e}"


def signed_measured(number: float) -> str:
    """Returns `measured` with the sign of a difference; zero has none."""
    text = measured(number)
    return text if text.startswith("-") or _is_zero(text) else f"+{text}"


def p_text(p: float) -> str:
    """Returns a p value, on the side of 0.05 and 0.01 on which it lies: `0.049`, `0.0499`, `< 0.001`."""
    return "< 0.001" if p < 0.001 else beside(p, *P_LIMITS)


def _is_zero(text: str) -> bool:
    return not any(character in "123456789" for character in text) and "n" not in text


def _side(number: float, limit: float) -> int:
    return (number > limit) - (number < limit)
