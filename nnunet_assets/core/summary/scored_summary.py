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

Confidence intervals are of the pooled means, and `intervals` puts them in. The fold means have none: folds share most
of their training cases, so that the spread of five fold means does not say how sure their mean is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from nnunet_assets.core.files.data_frames import data_frame
from nnunet_assets.core.files.json_file import OTHER_FORM
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.core.statistics.estimate import Bootstrap, Estimate, mean_of_defined
from nnunet_assets.core.summary.aggregate_metrics import training_metrics
from nnunet_assets.core.summary.fold_progress import FoldProgress
from nnunet_assets.core.summary.label_summary import METRICS, LabelSummary, Metric, MetricSummary
from nnunet_assets.core.summary.summary_rows import FoldMeansByLabel, case_rows, fold_rows, label_rows
from nnunet_assets.core.summary.summary_rules import check_cases, check_fold_names, check_inputs
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.core.validation.case_results import CaseResult
from nnunet_assets.errors import SummaryError

if TYPE_CHECKING:
    from nnunet_assets.core.files.data_frames import DataFrame

SCHEMA_VERSION = 2
OLDER_SCHEMAS = (1,)
"""Also read: 1 has no quartiles, intervals, patients, worst cases and computing, and its version under `schema`."""

N_WORST_CASES = 5


@dataclass(frozen=True)
class CaseDice:
    """The Dice of one case, of a label or of its foreground."""

    case_id: str
    fold: str
    dice: float


@dataclass(frozen=True)
class Computing:
    """What folds took.

    Attributes:
        gpu_hours: GPUs times hours of training and validation of the folds that know theirs; None: none does.
        gpu_hours_n_folds: How many these are; others had no GPU, or were trained elsewhere.
        epochs: Of all folds together.
        seconds: Wall time by section, of all folds together.
        peak_memory_bytes: By kind, of the fold that took most.
    """

    gpu_hours: float | None
    gpu_hours_n_folds: int
    epochs: int
    seconds: Mapping[str, float]
    peak_memory_bytes: Mapping[str, int]


@dataclass(frozen=True)
class ScoredSummary(FoldProgress):
    """The result of the finished folds of one experiment, and which folds are missing.

    Attributes:
        experiment: What was cross-validated.
        expected_folds: The folds of a complete cross-validation.
        folds: The finished ones, in the order of `expected_folds`; at least one, all made from the same inputs.
        labels: By label name, in the order of dataset.json; without background and the ignore label.
        foreground: The foreground mean, as the module says.
        patients: Case to patient; None: not known, so that each case counts as a patient of its own.
        bootstrap: How the intervals were made; None: there are none.
        training_only: The cases that folds of the split train on and none validates, sorted; None: not known.
    """

    experiment: Experiment
    expected_folds: tuple[str, ...]
    folds: tuple[ScoredFold, ...]
    labels: Mapping[str, LabelSummary]
    foreground: LabelSummary
    patients: Mapping[str, str] | None = None
    bootstrap: Bootstrap | None = None
    training_only: tuple[str, ...] | None = None

    @property
    def inputs(self) -> FoldInputs:
        """What every finished fold was made from."""
        return self.folds[0].inputs

    @property
    def n_cases(self) -> int:
        """The validation cases of the finished folds."""
        return sum(len(fold.cases) for fold in self.folds)

    @property
    def computing(self) -> "Computing":
        """What the finished folds took together."""
        gpu_hours = [fold.gpu_hours for fold in self.folds if fold.gpu_hours is not None]
        kinds = {kind for fold in self.folds for kind in fold.peak_memory_bytes}
        sections = {section for fold in self.folds for section in fold.seconds}
        return Computing(
            gpu_hours=sum(gpu_hours) if gpu_hours else None,
            gpu_hours_n_folds=len(gpu_hours),
            epochs=sum(fold.n_epochs for fold in self.folds),
            seconds={name: sum(fold.seconds.get(name, 0.0) for fold in self.folds) for name in sorted(sections)},
            peak_memory_bytes={
                kind: max(fold.peak_memory_bytes.get(kind, 0) for fold in self.folds) for kind in sorted(kinds)
            },
        )

    def ranked_cases(self, label_name: str | None = None) -> "list[CaseDice]":
        """Returns the cases, that of the lowest Dice first; those without a defined one are not among them.

        Args:
            label_name: None: by the mean over the labels that are defined in the case.
        """
        names = list(self.labels) if label_name is None else [label_name]
        cases = [
            CaseDice(case.case_id, fold.fold, dice)
            for fold in self.folds
            for case in fold.cases
            if (dice := mean_of_defined([case.scores[name].dice for name in names])) is not None
        ]
        return sorted(cases, key=lambda case: (case.dice, case.case_id))

    def worst_cases(self, label_name: str | None = None) -> "list[CaseDice]":
        """Returns the first of `ranked_cases`, at most five."""
        return self.ranked_cases(label_name)[:N_WORST_CASES]

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

    def headline(self) -> str:
        """Returns the result in one line: `4 of 5 folds (fold_3 missing): Dice 0.871 ± 0.012 over folds`.

        Dice is the foreground's; ± is the SD, left out where fewer than two folds have a value.
        """
        dice = self.foreground.dice.over_folds
        if dice.mean is None:
            return f"{self.progress}: Dice undefined, no reference and no prediction holds a label"
        if dice.sd is None:
            return f"{self.progress}: Dice {fixed(dice.mean)}" + ("" if self.is_hold_out else " in one fold")
        return f"{self.progress}: Dice {fixed(dice.mean)} ± {fixed(dice.sd)} over folds"

    def compute_aggregate_metrics(self) -> dict[str, float]:
        """Returns the estimates over folds: `cv_mean_fg_dice`, `cv_std_fg_dice`, `cv_mean_dice_class_LABEL` ...

        With those of the last epochs where these are known: `cv_mean_val_loss`, and `cv_mean_ema_fg_dice`, which is
        nnU-Net's word for a pseudo Dice. Those that are undefined are left out.
        """
        found: dict[str, float | None] = {}
        for metric in METRICS:
            named = {f"{metric}_class_{name}": label for name, label in self.labels.items()}
            for key, label in {f"fg_{metric}": self.foreground, **named}.items():
                estimate = getattr(label, metric).over_folds
                found |= {f"cv_mean_{key}": estimate.mean, f"cv_std_{key}": estimate.sd}
        of_training = training_metrics([fold.training for fold in self.folds])
        return {**{key: value for key, value in found.items() if value is not None}, **of_training}

    def to_dataframe(self, by: Literal["label", "fold", "case"] = "label") -> "DataFrame":
        """Returns it as a pandas DataFrame, NaN where undefined.

        Args:
            by: A row a label and metric, as in the CSV; a row a fold with what its training came to; or a row a case
                and label.

        Raises:
            SummaryError: Rows by something else were asked for.
        """
        if by == "label":
            return data_frame(label_rows(self.labels, self.foreground, self))
        if by == "fold":
            return data_frame(fold_rows(self, self.fold_means()))
        if by == "case":
            return data_frame(case_rows(self.folds, self.patients))
        raise SummaryError(f"There are no rows by {by!r}; there are rows by 'label', 'fold' and 'case'.")

    def fold_means(self) -> dict[str, FoldMeansByLabel]:
        """Returns by metric, label (None: the foreground) and fold the mean over the fold's cases."""
        named: list[tuple[str | None, LabelSummary]] = [(None, self.foreground), *self.labels.items()]
        return {
            metric: {
                name: {fold: estimate.mean for fold, estimate in getattr(label, metric).by_fold.items()}
                for name, label in named
            }
            for metric in METRICS
        }

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values; what is undefined is null.

        The scores of each case are what `from_json` reads; the rest is for other readers.
        """
        return {
            "schema_version": SCHEMA_VERSION,
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
            "bootstrap": self.bootstrap.to_json() if self.bootstrap else None,
            "worst_cases": {
                "foreground": [asdict(case) for case in self.worst_cases()],
                "labels": {name: [asdict(case) for case in self.worst_cases(name)] for name in self.labels},
            },
            "computing": asdict(self.computing),
            "patients": dict(self.patients) if self.patients is not None else None,
            "training_only": list(self.training_only) if self.training_only is not None else None,
            "folds": [fold.to_json() for fold in self.folds],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ScoredSummary":
        """Reads what `to_json` wrote, now or in an older version, and computes it anew from the cases.

        Intervals are taken as they are: drawn on another machine they may differ in their last digits.

        Raises:
            SummaryError: The content has another schema, is damaged, or its numbers do not follow from its cases.
        """
        remedy = "Make the summary again from the folds."
        try:
            version = content["schema"] if "schema" in content else content["schema_version"]
            if version not in (SCHEMA_VERSION, *OLDER_SCHEMAS):
                raise SummaryError(
                    f"The summary has schema {version!r}, this version reads {SCHEMA_VERSION} and older. {remedy}"
                )
            inputs = FoldInputs(**content["inputs"])
            folds = [ScoredFold.from_json(fold, inputs) for fold in content["folds"]]
            summary = summarize(Experiment(**content["experiment"]), content["expected_folds"], folds)
            summary = _with_written_intervals(summary, content)
            if (alone := content.get("training_only")) is not None:
                summary = replace(summary, training_only=tuple(alone))
            numbers = {key: value for key, value in content.items() if key not in ("schema", "schema_version")}
            follows = _follows(numbers, summary.to_json())
        except OTHER_FORM as error:
            raise SummaryError(f"The summary is not as this package writes it: {error!r}. {remedy}") from error
        if not follows:
            raise SummaryError(f"The numbers in the summary do not follow from its cases: it was edited. {remedy}")
        return summary


def summarize(experiment: Experiment, expected_folds: Sequence[str], results: Sequence[ScoredFold]) -> ScoredSummary:
    """Returns the summary of the finished folds; one is enough, the others are named as missing.

    Args:
        expected_folds: The folds of a complete cross-validation, in the order to show them.
        results: The finished folds, in any order.

    Raises:
        SummaryError: No fold is finished; a fold is not expected or there twice; the folds were not made from the same
            inputs or have other labels; or a case is validated in two folds.
    """
    check_fold_names(experiment, expected_folds, [result.fold for result in results])
    folds = sorted(results, key=lambda result: expected_folds.index(result.fold))
    check_inputs(experiment.title, {fold.fold: fold.provenance for fold in folds})
    check_cases(experiment, folds)
    label_names = folds[0].label_names
    return ScoredSummary(
        experiment=experiment,
        expected_folds=tuple(expected_folds),
        folds=tuple(folds),
        labels={name: _label_summary(folds, partial(_label_estimate, label_name=name)) for name in label_names},
        foreground=_label_summary(folds, partial(_foreground_estimate, label_names=label_names)),
    )


def _label_summary(
    folds: Sequence[ScoredFold], estimate: Callable[[Sequence[CaseResult], Metric], Estimate]
) -> LabelSummary:
    return LabelSummary(dice=_metric_summary(folds, estimate, "dice"), iou=_metric_summary(folds, estimate, "iou"))


def _metric_summary(
    folds: Sequence[ScoredFold], estimate: Callable[[Sequence[CaseResult], Metric], Estimate], metric: Metric
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
    label_means = [mean_of_defined([getattr(case.scores[name], metric) for case in cases]) for name in label_names]
    case_means = [mean_of_defined([getattr(case.scores[name], metric) for name in label_names]) for case in cases]
    return replace(Estimate.of(case_means), mean=mean_of_defined(label_means))


def _with_written_intervals(summary: ScoredSummary, content: Mapping[str, Any]) -> ScoredSummary:
    if content.get("bootstrap") is None:
        return summary

    def with_interval(metric: MetricSummary, written: Mapping[str, Any]) -> MetricSummary:
        return replace(metric, pooled=replace(metric.pooled, interval=Estimate.from_json(written["pooled"]).interval))

    def with_both(label: LabelSummary, written: Mapping[str, Any]) -> LabelSummary:
        return LabelSummary(
            dice=with_interval(label.dice, written["dice"]), iou=with_interval(label.iou, written["iou"])
        )

    return replace(
        summary,
        labels={name: with_both(label, content["labels"][name]) for name, label in summary.labels.items()},
        foreground=with_both(summary.foreground, content["foreground"]),
        patients=content["patients"],
        bootstrap=Bootstrap(**content["bootstrap"]),
    )


def _follows(written: Any, computed: Any) -> bool:
    """Returns whether all that was written is what is computed; an older version wrote less."""
    if isinstance(written, Mapping) and isinstance(computed, Mapping):
        return all(key in computed and _follows(value, computed[key]) for key, value in written.items())
    if isinstance(written, list) and isinstance(computed, list):
        return len(written) == len(computed) and all(map(_follows, written, computed))
    return bool(written == computed)
