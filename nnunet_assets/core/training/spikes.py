"""A gradient's norm that stands out of those before it: what is called a spike."""

import math
from collections import deque
from statistics import median

WINDOW = 100
"""Norms that a new one is held against; over more of them training itself changes what is usual."""
LEAST = 20
"""Fewer norms say nothing of what is usual."""
TIMES = 10.0
"""So many times their median is a spike."""


class SpikeFinder:
    """Takes one norm an iteration; a norm that is no number is neither a spike nor usual."""

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=WINDOW)

    def take(self, norm: float) -> float | None:
        """Returns how many times the median of the norms before it this one is, where that makes it a spike; else None.

        A spike is none of the norms that the next one is held against.

        Args:
            norm: Of the whole gradient, before it is clipped.
        """
        if not math.isfinite(norm):
            return None
        usual = median(self._norms) if len(self._norms) >= LEAST else 0.0
        if usual > 0 and norm > TIMES * usual:
            return norm / usual
        self._norms.append(norm)
        return None
