"""Which experiment of a comparison is the best, and which others the tests do not tell from it.

The best has the highest pooled mean; equal means share it. Another one is worse where the test between the two, as
corrected in the comparison, finds a difference at 5 % and most of it speaks for the best. A test that finds none is no
proof that there is none.
"""

from collections.abc import Mapping
from typing import Literal

from nnunet_assets.core.comparison import Comparison, Difference

SIGNIFICANT_BELOW = 0.05

Verdict = Literal["best", "not_worse", "worse", "not_tested"]
"""`not_worse`: not significantly. `not_tested`: too few cases differ from the best, or the two are not compared, as
repeats are not that differ in their seed alone."""

_Pairs = Mapping[tuple[str | None, frozenset[str]], Difference]


def verdicts(comparison: Comparison, metric: str) -> dict[tuple[str, str | None], Verdict]:
    """Returns the verdict on each experiment and label (None: the foreground); an undefined mean has none.

    Args:
        metric: One whose highest mean is the best.
    """
    standings = [one for one in comparison.standings if one.metric == metric and one.rank is not None]
    pairs = {
        (one.label, frozenset((one.left, one.right))): one for one in comparison.differences if one.metric == metric
    }
    best: dict[str | None, list[str]] = {}
    for one in standings:
        if one.rank == 1:
            best.setdefault(one.label, []).append(one.experiment)
    return {
        (one.experiment, one.label): (
            "best" if one.rank == 1 else _against(best[one.label], one.experiment, one.label, pairs)
        )
        for one in standings
    }


def is_significant(difference: Difference) -> bool:
    """Tells whether the test finds a difference at 5 %, after the correction."""
    return difference.p_holm is not None and difference.p_holm < SIGNIFICANT_BELOW


def _against(best: list[str], name: str, label: str | None, pairs: _Pairs) -> Verdict:
    found = [pairs.get((label, frozenset((first, name)))) for first in best]
    tested = [one for one in found if one and one.p_holm is not None]
    if not tested:
        return "not_tested"
    return "worse" if all(is_significant(one) and _speaks_against(one, name) for one in tested) else "not_worse"


def _speaks_against(difference: Difference, name: str) -> bool:
    # The pooled means are over all cases, the test over those that both have defined: they may disagree.
    left_is_ahead = (difference.rank_biserial or 0) > 0
    return left_is_ahead == (name == difference.right)
