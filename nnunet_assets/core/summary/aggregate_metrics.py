"""Estimates over folds by the keys of nnunet-tracker: `cv_mean_fg_dice`, `cv_std_val_loss` ...

That tool numbers labels in two ways: while it trains, `dice_class_1` is the pseudo Dice of nnU-Net's second foreground
class, counted from 0; of the validation, `final_val_dice_class_1` is the Dice of the label with the value 1. Of its
runs `cv_mean_dice_class_1` could be either, and is neither: it raises, and names both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nnunet_assets.core.statistics.estimate import Estimate
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.errors import AmbiguousMetricError

CLASS, LABEL = "class", "label"
"""How the names of labels begin in runs of nnunet-tracker: `class 0` counts from 0, `label 1` is a value."""


class AggregateMetrics(dict[str, float]):
    """Key to estimate, of what is defined; what would mean two things raises.

    Args:
        values: The estimates.
        ambiguous: Key that would mean two things, to the keys of both.
    """

    def __init__(self, values: Mapping[str, float], ambiguous: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(values)
        self._ambiguous = dict(ambiguous or {})

    def __missing__(self, key: str) -> float:
        self._refuse(key)
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Returns the estimate, or the default where there is none.

        Raises:
            AmbiguousMetricError: The key would mean two things.
        """
        self._refuse(key)
        return super().get(key, default)

    def _refuse(self, key: str) -> None:
        if key in self._ambiguous and key not in self:
            of_label, of_class = self._ambiguous[key]
            raise AmbiguousMetricError(
                f"{key} would mean two things in runs of nnunet-tracker, which numbers labels in two ways. {of_label} "
                "is the Dice of whole validation cases, of the label with that value; "
                f"{of_class} is the pseudo Dice of a foreground class, counted from 0, which nnunet-tracker called "
                f"{key}. Ask for one of them; there are: {', '.join(sorted(self)) or 'none'}."
            )


def numbered_metrics(values: Mapping[str, float], labels: Mapping[str, Sequence[str]]) -> AggregateMetrics:
    """Returns the estimates of runs of nnunet-tracker.

    Args:
        values: By key; of a label its name with underscores, `cv_mean_dice_label_1`.
        labels: By measure, the names of its labels: `label 1`, `class 0`.
    """
    numbers = {name.partition(" ")[2] for names in labels.values() for name in names}
    return AggregateMetrics(
        values,
        {
            f"cv_{statistic}_dice_class_{number}": (
                f"cv_{statistic}_dice_{LABEL}_{number}",
                f"cv_{statistic}_pseudo_dice_{CLASS}_{number}",
            )
            for statistic in ("mean", "std")
            for number in sorted(numbers)
        },
    )


def training_metrics(trainings: Sequence[TrainingEnd]) -> dict[str, float]:
    """Returns mean and SD of the last validation loss and of nnU-Net's `ema_fg_dice`, which is a pseudo Dice.

    What one of the folds does not have is left out: an estimate over some would look like one over all.
    """
    found: dict[str, float] = {}
    for name, attribute in (("val_loss", "val_loss"), ("ema_fg_dice", "pseudo_dice_ema")):
        values = [getattr(training, attribute) for training in trainings]
        estimate = Estimate.of(values)
        if estimate.mean is not None and None not in values:
            found[f"cv_mean_{name}"] = estimate.mean
            if estimate.sd is not None:
                found[f"cv_std_{name}"] = estimate.sd
    return found
