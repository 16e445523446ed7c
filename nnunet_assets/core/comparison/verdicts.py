"""Which experiment of a comparison is the best, and which others the tests do not tell from it.

The best has the best pooled mean; equal means share it, and where that is the worst value that there is, nobody is the
best. Another one is worse where the test of the two means, as corrected in the comparison, finds a difference at 5 %. A
test that finds none is no proof that there is none.
"""

from collections.abc import Mapping
from typing import Literal

from nnunet_assets.core.comparison.comparison import SCHEMA_VERSION, Comparison, Difference, Standing
from nnunet_assets.core.statistics.scoring import scale_of

Verdict = Literal["best", "not_worse", "worse", "not_tested"]
"""`not_worse`: not significantly. `not_tested`: there are too few patients, or the two are not compared, as repeats are
not that differ in their seed alone."""

_Pairs = Mapping[tuple[str | None, frozenset[str]], Difference]


def verdicts(comparison: Comparison, metric: str) -> dict[tuple[str, str | None], Verdict]:
    """Returns the verdict on each experiment and label (None: the foreground); an undefined mean has none.

    A comparison of an older version has tests of other differences than those of its means; it has no verdicts but
    that on the best.
    """
    standings = [one for one in comparison.standings if one.metric == metric and one.rank is not None]
    pairs = {
        (one.label, frozenset((one.left, one.right))): one for one in comparison.differences if one.metric == metric
    }
    best: dict[str | None, list[str]] = {}
    worst = scale_of(metric, comparison.diagonal_mm).worst
    for one in standings:
        if one.rank == 1 and one.mean != worst:
            best.setdefault(one.label, []).append(one.experiment)
    is_tested = comparison.schema == SCHEMA_VERSION
    return {
        (one.experiment, one.label): (
            "best"
            if one.experiment in best.get(one.label, ())
            else _against(best.get(one.label, []) if is_tested else [], one, pairs)
        )
        for one in standings
    }


def _against(best: list[str], standing: Standing, pairs: _Pairs) -> Verdict:
    found = [pairs.get((standing.label, frozenset((first, standing.experiment)))) for first in best]
    tested = [one for one in found if one and one.p_corrected is not None]
    if not tested:
        return "not_tested"
    return "worse" if all(one.is_significant for one in tested) else "not_worse"
