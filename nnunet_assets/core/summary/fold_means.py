"""What a cross-validation says where only the fold means are known, not the cases: estimates over folds alone.

A tracking server on another machine gets no scores by case, and the runs of nnunet-tracker never had any. The numbers
of a native experiment are those of `ScoredSummary.over_folds`, to the last digit; a pooled mean cannot be had from
means. Dice and pseudo Dice, the estimate on random patches, are measures of their own here, and no estimate mixes them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nnunet_assets.core.files.data_frames import data_frame
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.statistics.estimate import Estimate
from nnunet_assets.core.summary.aggregate_metrics import numbered_metrics, training_metrics
from nnunet_assets.core.summary.fold_progress import FoldProgress
from nnunet_assets.core.summary.summary_rows import FoldMeansByLabel, fold_rows, mean_rows
from nnunet_assets.core.summary.summary_rules import check_inputs
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.errors import SummaryError, first_offenders

if TYPE_CHECKING:
    from nnunet_assets.core.files.data_frames import DataFrame

Measure = Literal["dice", "iou", "pseudo_dice"]
MEASURES: tuple[Measure, ...] = ("dice", "iou", "pseudo_dice")
MEASURE_NAMES: Mapping[Measure, str] = {"dice": "Dice", "iou": "IoU", "pseudo_dice": "pseudo Dice"}


@dataclass(frozen=True)
class Means:
    """The means of one measure in one fold; None is undefined.

    Attributes:
        foreground: Of the foreground.
        labels: By label name.
    """

    foreground: float | None
    labels: Mapping[str, float | None]


@dataclass(frozen=True)
class FoldMeans:
    """What is known of one finished fold.

    Attributes:
        fold: `fold_0` ...
        run_id: The MLflow run that says so.
        inputs: Digests of what the fold was made from; None: the run does not say.
        means: By measure; at least one.
        validated: The checkpoint that predicted the cases.
        settings: As in `FoldProvenance`.
        is_adopted: As in `FoldProvenance`.
        training: Where its curves ended.
    """

    fold: str
    run_id: str
    inputs: FoldInputs | None
    means: Mapping[Measure, Means]
    validated: str = UNKNOWN
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_adopted: bool = False
    training: TrainingEnd = field(default=TrainingEnd(), compare=False)

    @property
    def provenance(self) -> FoldProvenance | None:
        """What the scores come from; None: the run does not say."""
        if self.inputs is None:
            return None
        return FoldProvenance(self.inputs, self.validated, self.settings, self.is_adopted)


@dataclass(frozen=True)
class FoldMeansSummary(FoldProgress):
    """The result of the finished folds of one cross-validation, over folds.

    Attributes:
        experiment: What was cross-validated; None: the runs do not say it. Of nnunet-tracker's the trainer is unknown.
        title: The same in one line for people.
        expected_folds: The folds of a complete one.
        folds: The finished ones, in the order of `expected_folds`; at least one.
        reason: Why the scores by case are not known, in a sentence.
    """

    experiment: Experiment | None
    title: str
    expected_folds: tuple[str, ...]
    folds: tuple[FoldMeans, ...]
    reason: str

    @property
    def is_pseudo(self) -> bool:
        """Whether not every fold has the Dice of whole validation cases, so that pseudo Dice is what they share."""
        return not all("dice" in fold.means for fold in self.folds)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that every finished fold has: an estimate over some of them would look like one over all."""
        return tuple(measure for measure in MEASURES if all(measure in fold.means for fold in self.folds))

    def label_names(self, measure: Measure) -> tuple[str, ...]:
        """Returns the labels of a measure, in the order in which the folds name them."""
        return tuple(dict.fromkeys(name for fold in self.folds for name in fold.means[measure].labels))

    def by_fold(self, measure: Measure, label_name: str | None = None) -> dict[str, float | None]:
        """Returns fold to mean; no label: the foreground's."""
        means = {fold.fold: fold.means[measure] for fold in self.folds}
        return {
            fold: found.foreground if label_name is None else found.labels.get(label_name)
            for fold, found in means.items()
        }

    def over_folds(self, measure: Measure, label_name: str | None = None) -> Estimate:
        """Returns the estimate over the fold means; no label: the foreground's."""
        return Estimate.of(list(self.by_fold(measure, label_name).values()))

    def headline(self) -> str:
        """Returns the result in one line; pseudo Dice is called so."""
        measure: Measure = "pseudo_dice" if self.is_pseudo else "dice"
        estimate = self.over_folds(measure)
        name = MEASURE_NAMES[measure]
        if estimate.mean is None:
            return f"{self.progress}: {name} undefined"
        alone = "" if self.is_hold_out else " in one fold"
        spread = alone if estimate.sd is None else f" ± {fixed(estimate.sd)} over folds"
        note = ", an estimate on random patches and not a result" if self.is_pseudo else ""
        return f"{self.progress}: {name} {fixed(estimate.mean)}{spread}{note}"

    @property
    def is_foreign(self) -> bool:
        """Whether nnunet-tracker made the runs, which have no digests and number their labels in two ways."""
        return all(fold.inputs is None for fold in self.folds)

    def compute_aggregate_metrics(self) -> dict[str, float]:
        """Returns the estimates over folds as `ScoredSummary` does; those of the pseudo Dice are called so.

        `cv_mean_fg_dice`, `cv_std_fg_dice`, `cv_mean_dice_class_LABEL`; `cv_mean_fg_pseudo_dice` ... Of runs of
        nnunet-tracker `cv_mean_dice_label_1` and `cv_mean_pseudo_dice_class_0`: see `aggregate_metrics`. Undefined ones
        are left out.
        """
        found: dict[str, float | None] = {}
        for measure in self.measures:
            keys = {f"fg_{measure}": None, **{self._key(measure, name): name for name in self.label_names(measure)}}
            for key, label_name in keys.items():
                estimate = self.over_folds(measure, label_name)
                found |= {f"cv_mean_{key}": estimate.mean, f"cv_std_{key}": estimate.sd}
        of_training = training_metrics([fold.training for fold in self.folds])
        metrics = {**{key: value for key, value in found.items() if value is not None}, **of_training}
        if not self.is_foreign:
            return metrics
        return numbered_metrics(metrics, {measure: self.label_names(measure) for measure in self.measures})

    def _key(self, measure: Measure, label_name: str) -> str:
        return f"{measure}_{label_name.replace(' ', '_')}" if self.is_foreign else f"{measure}_class_{label_name}"

    def estimates(self) -> Iterator[tuple[Measure, str | None, Estimate]]:
        """Yields measure, label (None: the foreground, after the labels) and estimate over folds."""
        for measure in self.measures:
            for label_name in (*self.label_names(measure), None):
                yield measure, label_name, self.over_folds(measure, label_name)

    def fold_means(self) -> dict[str, FoldMeansByLabel]:
        """Returns by measure, label (None: the foreground) and fold the mean."""
        return {
            measure: {name: self.by_fold(measure, name) for name in (None, *self.label_names(measure))}
            for measure in self.measures
        }

    def to_dataframe(self, by: Literal["label", "fold", "case"] = "label") -> "DataFrame":
        """Returns it as a pandas DataFrame, NaN where undefined.

        Args:
            by: A row a measure and label, as in the CSV; or a row a fold with what its training came to.

        Raises:
            SummaryError: Rows by something else were asked for, such as by case, which only a summary with scores by
                case has.
        """
        if by == "case":
            raise SummaryError(f"There are no rows by case of {self.title}. {self.reason}")
        if by == "fold":
            return data_frame(fold_rows(self, self.fold_means()))
        if by == "label":
            return data_frame(mean_rows(self.estimates(), self.fold_means(), self))
        raise SummaryError(f"There are no rows by {by!r}; there are rows by 'label' and 'fold'.")

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values; what is undefined is null."""
        return {
            "experiment": asdict(self.experiment) if self.experiment else None,
            "title": self.title,
            "expected_folds": list(self.expected_folds),
            "completed_folds": list(self.completed_folds),
            "missing_folds": list(self.missing_folds),
            "is_complete": self.is_complete,
            "reason_without_cases": self.reason,
            "over_folds": {
                measure: {
                    "foreground": asdict(self.over_folds(measure)),
                    "labels": {name: asdict(self.over_folds(measure, name)) for name in self.label_names(measure)},
                }
                for measure in self.measures
            },
            "folds": [asdict(fold) for fold in self.folds],
        }


def summarize_means(
    experiment: Experiment | None, title: str, expected_folds: Sequence[str], folds: Sequence[FoldMeans], reason: str
) -> FoldMeansSummary:
    """Returns the summary of the finished folds.

    Args:
        experiment: As in `FoldMeansSummary`.
        title: As in `FoldMeansSummary`.
        expected_folds: The folds of a complete cross-validation, in the order to show them.
        folds: The finished ones, each once and expected, in any order.
        reason: As in `FoldMeansSummary`.

    Raises:
        SummaryError: No fold is finished, they have no measure in common, or they were not made from the same inputs.
    """
    if not folds:
        raise SummaryError(f"No fold of {title} is finished, so there is nothing to summarize.")
    ordered = sorted(folds, key=lambda fold: expected_folds.index(fold.fold))
    check_inputs(title, {fold.fold: provenance for fold in ordered if (provenance := fold.provenance) is not None})
    summary = FoldMeansSummary(experiment, title, tuple(expected_folds), tuple(ordered), reason)
    if not summary.measures:
        measured = "; ".join(f"{fold.fold} has {first_offenders(list(fold.means))}" for fold in ordered)
        raise SummaryError(
            f"The folds of {title} have no measure in common: {measured}. Dice and pseudo Dice must not be mixed; "
            "summarize the folds apart, with --folds."
        )
    return summary
