"""What stands beside confidence intervals: how they were made, and what so many patients cannot tell."""

from nnunet_assets.core.statistics.estimate import FULL_WEIGHT_PATIENTS, MIN_PATIENTS, MIN_PATIENTS_UNBOUNDED, Bootstrap
from nnunet_assets.core.text.numbers import significant

MISSED_SETS = 0.05
"""In so many sets of patients a failure that is named here is not to be seen."""


def interval_notes(drawn: Bootstrap, of: str = "pooled mean") -> list[str]:
    """Returns how the intervals of a mean were made, and what they cannot know, in a sentence each.

    Args:
        drawn: Of the intervals that are shown, or that are withheld since there are too few patients.
        of: What they are of.
    """
    n, one = drawn.n_clusters, drawn.clustered_by
    if drawn.method == "bca":
        return [
            f"95 % interval of the {of}: bootstrap (BCa) of {n} {one}s, {drawn.n_resamples} resamples, made by "
            f"an older version. Where {one}s are few or fail it is too narrow (10 {one}s of which one in ten scores 0: "
            "66 % in place of 95 %); make it again."
        ]
    made = (
        f"95 % interval of the {of}: Bayesian bootstrap of {n} {one}s ({drawn.n_resamples} resamples) and one "
        f"{one} more, with the worst possible score at the low end and the best at the high end. None with fewer than "
        f"{MIN_PATIENTS} {one}s with a defined score, nor of lengths and volumes with fewer than "
        f"{MIN_PATIENTS_UNBOUNDED}."
    )
    if n < MIN_PATIENTS:
        return [made]
    covered = (
        "wide for that reason"
        if n <= FULL_WEIGHT_PATIENTS
        else f"wide enough for failures of one {one} in 20, and not for rarer ones"
    )
    return [
        made,
        f"What no {one} shows, nobody can know: one set of {n} in 20 does not hold a failure that befalls "
        f"{significant(unseen_percent(n), digits=2)} % of all {one}s. The interval is {covered}.",
    ]


def unseen_percent(n: int) -> float:
    """Returns how many patients in 100 a failure befalls that is missing in `MISSED_SETS` of all sets of n."""
    missed: float = MISSED_SETS ** (1 / n)
    return 100 * (1 - missed)
