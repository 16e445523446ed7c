"""The space of a search: what is varied between which bounds, how many points that makes, and which are a grid's.

Values may hang on others: a dimension with a condition is part of a point only where the condition holds, so that two
points which differ in nothing that is used are one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["log", "uniform", "int", "log_int", "choice"]

WHOLE_NUMBERS = frozenset({"int", "log_int"})
"""Ranges of which each value can be counted."""


@dataclass(frozen=True)
class Dimension:
    """One thing that is varied.

    Attributes:
        name: Of the setting.
        kind: `choice`, or a range: of numbers (`uniform`, `log`) or whole numbers (`int`, `log_int`), the bounds
            included.
        choices: What a `choice` may be; nothing of a range.
        low: Lower bound of a range.
        high: Upper bound of a range.
        when: Name of an earlier choice to the values of it with which this is part of a point; none: always.
    """

    name: str
    kind: Kind
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def values(self) -> Sequence[Any] | None:
        """All that it may be, in order; None: more than can be counted."""
        if self.kind == "choice":
            return self.choices
        if self.low == self.high:
            return (self.ends[0],)
        return range(int(self.low), int(self.high) + 1) if self.kind in WHOLE_NUMBERS else None

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its choices, or its bounds: where these are possible, what lies between is."""
        if self.kind == "choice":
            return self.choices
        return (int(self.low), int(self.high)) if self.kind in WHOLE_NUMBERS else (self.low, self.high)

    def holds(self, value: Any) -> bool:
        """Says whether it may be this."""
        if self.kind == "choice":
            return any(is_same(value, choice) for choice in self.choices)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (self.kind not in WHOLE_NUMBERS or value == int(value))

    def is_part_of(self, point: Mapping[str, Any]) -> bool:
        """Says whether its conditions hold for what a point has so far."""
        return all(
            name in point and any(is_same(point[name], value) for value in values) for name, values in self.when.items()
        )


@dataclass(frozen=True)
class Space:
    """All that a search may try.

    Attributes:
        dimensions: What is varied; a condition names one that stands before it.
        constants: What every trial has, by name.
    """

    dimensions: tuple[Dimension, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_points(self) -> int | None:
        """How many points it has; None: more than can be counted, since a range of numbers is in it."""
        deciding = {name for one in self.dimensions for name in one.when}
        return _count(self.dimensions, deciding, {})

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yields each point once, the last dimension varied first.

        Raises:
            ValueError: A range of numbers is in it.
        """
        return _points(self.dimensions, {})

    def holds(self, point: Mapping[str, Any]) -> bool:
        """Says whether a point, of this space as it was or is, is one of it."""
        parts = [one for one in self.dimensions if one.is_part_of(point)]
        return {one.name for one in parts} == set(point) and all(one.holds(point[one.name]) for one in parts)

    def __str__(self) -> str:
        """Returns what is varied, for people: `initial_lr from 0.0001 to 0.1 (log), optimizer_name: SGD, AdamW`."""
        return ", ".join(map(_in_words, self.dimensions))


def is_same_point(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Says whether two points are the same."""
    return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one)


def is_same(one: Any, other: Any) -> bool:
    """Says whether two values are the same; 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _count(dimensions: Sequence[Dimension], deciding: set[str], point: Mapping[str, Any]) -> int | None:
    if not dimensions:
        return 1
    first, rest = dimensions[0], dimensions[1:]
    if not first.is_part_of(point):
        return _count(rest, deciding, point)
    values = first.values
    if values is None:
        return None
    if first.name not in deciding:
        below = _count(rest, deciding, point)
        return None if below is None else len(values) * below
    counts = [_count(rest, deciding, {**point, first.name: value}) for value in values]
    return None if None in counts else sum(filter(None, counts))


def _points(dimensions: Sequence[Dimension], point: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if not dimensions:
        yield dict(point)
        return
    first, rest = dimensions[0], dimensions[1:]
    if not first.is_part_of(point):
        yield from _points(rest, point)
        return
    if first.values is None:
        raise ValueError(f"{first.name} is a range of numbers, of which there is no grid")
    for value in first.values:
        yield from _points(rest, {**point, first.name: value})


def _in_words(one: Dimension) -> str:
    if one.kind == "choice":
        text = f"{one.name}: {', '.join(map(str, one.choices))}"
    else:
        scale = {"log": " (log)", "log_int": " (whole, log)", "int": " (whole)"}.get(one.kind, "")
        low, high = one.ends
        text = f"{one.name} from {low:g} to {high:g}{scale}"
    conditions = [f"{name} is {' or '.join(map(str, values))}" for name, values in one.when.items()]
    return f"{text} where {' and '.join(conditions)}" if conditions else text


def rungs(min_epochs: int, max_epochs: int, reduction: float) -> list[float]:
    """Returns after how many epochs trials are compared and stopped: 30, 90, ... below the last epoch."""
    n = math.floor(math.log(max_epochs / min_epochs) / math.log(reduction)) + 1
    return [rung for rung in (min_epochs * reduction**k for k in range(n)) if rung < max_epochs]
