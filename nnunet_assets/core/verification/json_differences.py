"""In which values two JSON contents differ, by the path to each: `labels.organ.dice.pooled.mean`."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from nnunet_assets.core.verification.table_differences import CellDifference

CLOSE = 1e-9
"""Means that are drawn or summed on another machine may differ in their last digits."""


def json_differences(found: Any, expected: Any, *, where: str = "", close: float = 0.0) -> list[CellDifference]:
    """Returns the values that differ, each with its path.

    Args:
        found: What lies there.
        expected: What should.
        where: The path so far.
        close: How far apart two numbers may be and be the same.
    """
    return list(_differences(found, expected, where, close))


def _differences(found: Any, expected: Any, where: str, close: float) -> Iterator[CellDifference]:
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for name in dict.fromkeys([*expected, *found]):
            place = f"{where}.{name}" if where else str(name)
            if name not in found:
                yield CellDifference(place, None, _text(expected[name]))
            elif name not in expected:
                yield CellDifference(place, _text(found[name]), None)
            else:
                yield from _differences(found[name], expected[name], place, close)
    elif isinstance(found, list | tuple) and isinstance(expected, list | tuple) and len(found) == len(expected):
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]", close)
    elif not _is_same(found, expected, close):
        yield CellDifference(where or "the content", _text(found), _text(expected))


def _is_same(found: Any, expected: Any, close: float) -> bool:
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, int | float) and isinstance(expected, int | float):
        is_close = math.isclose(found, expected, rel_tol=close, abs_tol=close) if close else found == expected
        return is_close or (math.isnan(found) and math.isnan(expected))
    are_lists = isinstance(found, list | tuple) and isinstance(expected, list | tuple)
    return (are_lists or type(found) is type(expected)) and bool(found == expected)


def _text(value: Any) -> str:
    return "null" if value is None else repr(value) if isinstance(value, str | float | int | bool) else str(value)
