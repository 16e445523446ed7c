"""The result of a cross-validation: means and SDs of Dice and IoU, by label and for the foreground, by two estimands.

* Pooled: over all validation cases of the finished folds (each case is predicted once). It equals nnU-Net's own
  accumulated evaluation.
* Over folds: over the fold means, each fold counted once whatever its number of cases.

A score is undefined (None) where reference and prediction are both empty; it is left out of the means and counted in
`n` but not in `n_defined`. An SD has n - 1 in its denominator and is None with fewer than two defined values.

The foreground mean is the mean of the label means, as in nnU-Net, except that a label without any defined score is
left out (nnU-Net's becomes NaN). Its spread is that of what the mean is taken over: the SD and the counts of a pooled
foreground go over the cases' foreground means (a case's mean over its defined labels), those over folds over the
folds' foreground means. Where a label is absent in some cases, the mean of the cases' means differs from the mean of
the label means; the latter is reported.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import fmean, stdev
from typing import Any, Literal

from nnunet_assets.core.commit import FoldInputs
from nnunet_assets.core.fold_result import CaseResult, FoldResult
from nnunet_assets.core.layout import Experiment
from nnunet_assets.errors import SummaryError, first_offenders

SCHEMA = 1

Metric = Literal["dice", "iou"]
METRICS: tuple[Metric, ...] = ("dice", "iou")


@dataclass(frozen=True)
class Estimate:
    """A mean and the spread of what it was taken over.

    Attributes:
        mean: None where no value is defined.
        sd: Standard deviation with n - 1; None with fewer than two defined values.
        n: Values there are: cases or folds.
        n_defined: Values that are defined.
    """

    mean: float | None
    sd: float | None
    n: int
    n_defined: int

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Estimate":
        """Returns the estimate over the values that are defined (not None)."""
        defined = [value for value in values if value is not None]
        sd = stdev(defined) if len(defined) > 1 else None
        return cls(mean=_mean(values), sd=sd, n=len(values), n_defined=len(defined))


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one label, or of the foreground.

    Attributes:
        pooled: Over all cases of all finished folds.
        over_folds: Over the means of the finished folds.
        by_fold: Over the cases of each finished fold.
    """

    pooled: Estimate
    over_folds: Estimate
    by_fold: Mapping[str, Estimate]


@dataclass(frozen=True)
class LabelSummary:
    """Both metrics of one label, or of the foreground."""

    dice: MetricSummary
    iou: MetricSummary


@dataclass(frozen=True)
class CvSummary:
    """The result of the finished folds of one experiment, and which folds are missing.

    Attributes:
        experiment: What was cross-validated.
        expected_folds: The folds of a complete cross-validation.
        folds: The finished ones, in the order of `expected_folds`; at least one, all made from the same inputs.
        labels: By label name, in the order of dataset.json; without background and the ignore label.
        foreground: The foreground mean, as the module says.
    """

    experiment: Experiment
    expected_folds: tuple[str, ...]
    folds: tuple[FoldResult, ...]
    labels: Mapping[str, LabelSummary]
    foreground: LabelSummary

    @property
    def inputs(self) -> FoldInputs:
        """What every finished fold was made from."""
        return self.folds[0].inputs

    @property
    def completed_folds(self) -> tuple[str, ...]:
        """The finished folds."""
        return tuple(fold.fold for fold in self.folds)

    @property
    def missing_folds(self) -> tuple[str, ...]:
        """The expected folds that are not finished."""
        return tuple(fold for fold in self.expected_folds if fold not in self.completed_folds)

    @property
    def is_complete(self) -> bool:
        """Whether every expected fold is finished."""
        return not self.missing_folds

    @property
    def n_cases(self) -> int:
        """The validation cases of the finished folds."""
        return sum(len(fold.cases) for fold in self.folds)

    @property
    def absent_labels(self) -> tuple[str, ...]:
        """The labels that no reference and no prediction holds; no foreground mean counts them."""
        return tuple(name for name, label in self.labels.items() if label.dice.pooled.n_defined == 0)

    @property
    def absent_labels_by_fold(self) -> dict[str, tuple[str, ...]]:
        """The labels that some fold holds and the key's fold does not, so that its foreground mean leaves them out.

        Folds without such labels are not in it.
        """
        absent = {
            fold: tuple(
                name
                for name, label in self.labels.items()
                if name not in self.absent_labels and label.dice.by_fold[fold].n_defined == 0
            )
            for fold in self.completed_folds
        }
        return {fold: names for fold, names in absent.items() if names}

    @property
    def progress(self) -> str:
        """How many folds are finished: `4 of 5 folds (fold_3 missing)`."""
        missing = f" ({', '.join(self.missing_folds)} missing)" if self.missing_folds else ""
        return f"{len(self.folds)} of {len(self.expected_folds)} folds{missing}"

    def headline(self) -> str:
        """Returns the result in one line: `4 of 5 folds (fold_3 missing): Dice 0.871 ± 0.012 over folds`.

        Dice is the foreground's; ± is the SD, left out where fewer than two folds have a value.
        """
        dice = self.foreground.dice.over_folds
        if dice.mean is None:
            return f"{self.progress}: Dice undefined, no reference and no prediction holds a label"
        if dice.sd is None:
            return f"{self.progress}: Dice {dice.mean:.3f} in one fold"
        return f"{self.progress}: Dice {dice.mean:.3f} ± {dice.sd:.3f} over folds"

    def compute_aggregate_metrics(self) -> dict[str, float]:
        """Returns the estimates over folds: `cv_mean_fg_dice`, `cv_std_fg_dice`, `cv_mean_dice_class_LABEL` ...

        Those that are undefined are left out.
        """
        found: dict[str, float | None] = {}
        for metric in METRICS:
            named = {f"{metric}_class_{name}": label for name, label in self.labels.items()}
            for key, label in {f"fg_{metric}": self.foreground, **named}.items():
                estimate = getattr(label, metric).over_folds
                found |= {f"cv_mean_{key}": estimate.mean, f"cv_std_{key}": estimate.sd}
        return {key: value for key, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values; what is undefined is null.

        The scores of each case are what `from_json` reads; the rest is for other readers.
        """
        return {
            "schema": SCHEMA,
            "experiment": asdict(self.experiment),
            "inputs": asdict(self.inputs),
            "expected_folds": list(self.expected_folds),
            "completed_folds": list(self.completed_folds),
            "missing_folds": list(self.missing_folds),
            "is_complete": self.is_complete,
            "n_cases": self.n_cases,
            "foreground": asdict(self.foreground),
            "labels": {name: asdict(label) for name, label in self.labels.items()},
            "absent_labels": list(self.absent_labels),
            "folds": [fold.to_json() for fold in self.folds],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "CvSummary":
        """Reads what `to_json` wrote, and computes it anew from the cases.

        Raises:
            SummaryError: The content has another schema, is damaged, or its numbers do not follow from its cases.
        """
        remedy = "Make the summary again from the folds."
        try:
            if content["schema"] != SCHEMA:
                raise SummaryError(
                    f"The summary has schema {content['schema']!r}, this version reads {SCHEMA}. {remedy}"
                )
            inputs = FoldInputs(**content["inputs"])
            folds = [FoldResult.from_json(fold, inputs) for fold in content["folds"]]
            summary = summarize(Experiment(**content["experiment"]), content["expected_folds"], folds)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise SummaryError(f"The summary is not as this package writes it: {error!r}. {remedy}") from error
        if summary.to_json() != content:
            raise SummaryError(f"The numbers in the summary do not follow from its cases: it was edited. {remedy}")
        return summary


def summarize(experiment: Experiment, expected_folds: Sequence[str], results: Sequence[FoldResult]) -> CvSummary:
    """Returns the summary of the finished folds; one is enough, the others are named as missing.

    Args:
        expected_folds: The folds of a complete cross-validation, in the order to show them.
        results: The finished folds, in any order.

    Raises:
        SummaryError: No fold is finished; a fold is not expected or there twice; the folds were not made from the same
            inputs or have other labels; or a case is validated in two folds.
    """
    _check_fold_names(experiment, expected_folds, [result.fold for result in results])
    folds = sorted(results, key=lambda result: expected_folds.index(result.fold))
    _check_inputs(experiment, folds)
    _check_cases(experiment, folds)
    label_names = folds[0].label_names
    return CvSummary(
        experiment=experiment,
        expected_folds=tuple(expected_folds),
        folds=tuple(folds),
        labels={name: _label_summary(folds, partial(_label_estimate, label_name=name)) for name in label_names},
        foreground=_label_summary(folds, partial(_foreground_estimate, label_names=label_names)),
    )


def _check_fold_names(experiment: Experiment, expected: Sequence[str], found: Sequence[str]) -> None:
    if not found:
        raise SummaryError(
            f"No fold of {experiment.title} is finished, so there is nothing to summarize. Train at least one of "
            f"{first_offenders(expected)}."
        )
    if unexpected := sorted(set(found) - set(expected)):
        raise SummaryError(
            f"{first_offenders(unexpected)} of {experiment.title} is not among the expected folds "
            f"({first_offenders(expected)}). Declare the folds that the experiment has, or leave these results out."
        )
    if repeated := sorted(fold for fold, count in Counter(found).items() if count > 1):
        raise SummaryError(f"{first_offenders(repeated)} of {experiment.title} is there twice. Give one result a fold.")


def _check_inputs(experiment: Experiment, folds: Sequence[FoldResult]) -> None:
    """Refuses folds of different making; those who share theirs with most other folds are taken for right."""
    groups: dict[tuple[FoldInputs, str], list[str]] = {}
    for fold in folds:
        groups.setdefault((fold.inputs, fold.validated), []).append(fold.fold)
    if len(groups) == 1:
        return
    (usual_making, usual), *odd = sorted(groups.items(), key=lambda group: -len(group[1]))
    differences = "; ".join(
        f"{first_offenders(names)} and {first_offenders(usual)} differ in {_differences(usual_making, making)}"
        for making, names in odd
    )
    remedy = (
        "No group of equal folds is the largest: decide which is right and train the others again"
        if len(odd[0][1]) == len(usual)
        else f"Train {first_offenders([name for _, names in odd for name in names])} again, as the others were"
    )
    raise SummaryError(f"The folds of {experiment.title} must not be averaged: {differences}. {remedy}.")


def _differences(left: tuple[FoldInputs, str], right: tuple[FoldInputs, str]) -> str:
    checkpoints = [] if left[1] == right[1] else ["the checkpoint that was validated"]
    return ", ".join([*left[0].differences(right[0]), *checkpoints])


def _check_cases(experiment: Experiment, folds: Sequence[FoldResult]) -> None:
    owners: dict[str, list[str]] = {}
    for fold in folds:
        for case in fold.cases:
            owners.setdefault(case.case_id, []).append(fold.fold)
            if set(case.scores) != set(folds[0].label_names):
                raise SummaryError(
                    f"Case {case.case_id} in {fold.fold} of {experiment.title} has scores for {sorted(case.scores)}, "
                    f"other cases for {sorted(folds[0].label_names)}. Run the validation of that fold again."
                )
    shared = [f"{case_id} in {' and '.join(names)}" for case_id, names in owners.items() if len(names) > 1]
    if shared:
        raise SummaryError(
            f"Each case of {experiment.title} is validated in one fold, but not {first_offenders(shared)}. The "
            "folds were trained on different or overlapping splits: train them again on one split."
        )


def _label_summary(
    folds: Sequence[FoldResult], estimate: Callable[[Sequence[CaseResult], Metric], Estimate]
) -> LabelSummary:
    return LabelSummary(dice=_metric_summary(folds, estimate, "dice"), iou=_metric_summary(folds, estimate, "iou"))


def _metric_summary(
    folds: Sequence[FoldResult], estimate: Callable[[Sequence[CaseResult], Metric], Estimate], metric: Metric
) -> MetricSummary:
    by_fold = {fold.fold: estimate(fold.cases, metric) for fold in folds}
    return MetricSummary(
        pooled=estimate([case for fold in folds for case in fold.cases], metric),
        over_folds=Estimate.of([fold_estimate.mean for fold_estimate in by_fold.values()]),
        by_fold=by_fold,
    )


def _label_estimate(cases: Sequence[CaseResult], metric: Metric, *, label_name: str) -> Estimate:
    return Estimate.of([getattr(case.scores[label_name], metric) for case in cases])


def _foreground_estimate(cases: Sequence[CaseResult], metric: Metric, *, label_names: Sequence[str]) -> Estimate:
    label_means = [_mean([getattr(case.scores[name], metric) for case in cases]) for name in label_names]
    case_means = [_mean([getattr(case.scores[name], metric) for name in label_names]) for case in cases]
    return replace(Estimate.of(case_means), mean=_mean(label_means))


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None
