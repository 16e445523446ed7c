"""The confidence intervals of a summary's pooled means."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.splits.splits_files import read_patients, read_training_only
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.statistics.mean_intervals import SHARE, PatientWeights, bootstrap_of
from nnunet_assets.core.summary.label_summary import METRICS, LabelSummary, Metric, MetricSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary


def with_intervals(summary: ScoredSummary, patients: Mapping[str, str] | None) -> ScoredSummary:
    """Returns the summary with a 95 % confidence interval of each pooled mean, where `mean_intervals` has one.

    Args:
        patients: Patient of each case; None: not known, and each case counts as a patient of its own.
    """
    cases = [case for fold in summary.folds for case in fold.cases]
    known = {case.case_id: patients[case.case_id] for case in cases} if patients is not None else None
    weights = PatientWeights([known[case.case_id] if known else case.case_id for case in cases])
    intervals: dict[tuple[str | None, Metric], Interval | None] = {}
    for metric in METRICS:
        scores = [[getattr(case.scores[name], metric) for name in summary.labels] for case in cases]
        means = weights.means(np.array(scores, dtype=float))
        intervals |= {(name, metric): means.interval(column, SHARE) for column, name in enumerate(summary.labels)}
        intervals[None, metric] = means.interval_over_columns(SHARE)

    def added(name: str | None, label: LabelSummary) -> LabelSummary:
        return LabelSummary(
            dice=_with_interval(label.dice, intervals[name, "dice"]),
            iou=_with_interval(label.iou, intervals[name, "iou"]),
        )

    return replace(
        summary,
        labels={name: added(name, label) for name, label in summary.labels.items()},
        foreground=added(None, summary.foreground),
        patients=known,
        bootstrap=bootstrap_of("case" if known is None else "patient", weights.n_patients),
    )


def with_recorded_patients(roots: Roots, summary: ScoredSummary) -> ScoredSummary:
    """Returns the summary with intervals as `with_intervals`, of the patients that the record of its splits names.

    And with what the split says of cases that it only trains on.
    """
    cases = [case.case_id for fold in summary.folds for case in fold.cases]
    preprocessed, splits_hash = roots.preprocessed / summary.experiment.dataset, summary.inputs.splits_hash
    if (training_only := read_training_only(preprocessed, splits_hash)) is not None:
        summary = replace(summary, training_only=training_only)
    return with_intervals(summary, read_patients(preprocessed, splits_hash, cases))


def _with_interval(metric: MetricSummary, interval: Interval | None) -> MetricSummary:
    return replace(metric, pooled=replace(metric.pooled, interval=interval))
