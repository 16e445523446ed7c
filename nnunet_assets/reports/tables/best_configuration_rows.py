"""The choice among a dataset's candidates as short rows and sentences for people."""

from nnunet_assets.core.selection.best_configuration import BestConfiguration, Candidate
from nnunet_assets.core.text.numbers import beside, fixed

_MIB = 2**20


def candidate_records(found: BestConfiguration) -> list[dict[str, str]]:
    """Returns one row a candidate, the best mean first."""
    return [
        {
            "candidate": one.name,
            "Dice, pooled": "undefined" if one.mean is None else fixed(one.mean),
            "behind the best": "" if one is found.candidates[0] else fixed(one.behind, 4),
            "95 % interval": _interval(one),
            "checkpoint": "not known" if one.weights_bytes is None else f"{one.weights_bytes / _MIB:.0f} MiB",
            "taken": "yes" if one.name == found.chosen else "",
        }
        for one in found.candidates
    ]


def notes(found: BestConfiguration) -> list[str]:
    """Returns what a reader of the choice must know."""
    left_out = [f"Left out: {name}: {reason}" for name, reason in found.left_out.items()]
    if found.expected is None:
        return [f"No expected Dice: {found.not_expected_because}.", *left_out, *found.notes]
    means = (
        "The expected Dice is of one model, trained on all folds but one and chosen by this rule; an ensemble of the "
        "folds is mostly better, and only a test set says by how much."
    )
    return [means, *left_out, *found.notes]


def _interval(one: Candidate) -> str:
    if one.behind_interval is None:
        return ""
    return " to ".join(beside(end, 0.0, digits=4) for end in (one.behind_interval.low, one.behind_interval.high))
