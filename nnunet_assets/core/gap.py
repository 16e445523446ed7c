"""The gap between a cross-validation and a test set, by label and metric.

It is what the ensemble scores on cases that no fold has seen, minus what the folds score on cases that their own
training left out. Both sides are pooled over cases: each test case is predicted once, by the mean of all folds; each
validation case once, by the one fold that has not seen it. The foreground mean is that of the summary: the mean of the
label means. A score is undefined (None) as everywhere, and left out of its mean.

The intervals are of the test means alone. That leaves out how sure the cross-validation's mean is, and takes each test
case for a patient of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nnunet_assets.core.estimate import Bootstrap, Estimate, Interval, mean_of_defined
from nnunet_assets.core.mean_intervals import SHARE, PatientWeights, bootstrap_of, bounds_of

SCHEMA = 1

FOREGROUND_METRICS = ("dice", "iou")
"""Those that have a foreground mean."""

GAP_METRICS = (
    *("dice", "iou", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd"),
    *("hausdorff95_surface_mm", "assd_surface_mm", "nsd_surface"),
    *("volume_error_ml", "volume_error_relative"),
)
"""Of `evaluation.METRIC_COLUMNS` those whose mean says how good a prediction is."""

Values = Sequence[float | None]
CaseValues = Mapping[str, Mapping[str, Values]]
"""By label and metric the value of each case, all in the same order of cases."""


@dataclass(frozen=True)
class Gap:
    """One metric of one label on both sides.

    Attributes:
        label: None: the foreground mean.
        metric: Of `GAP_METRICS`.
        test: Over the test cases, with the interval of its mean where `mean_intervals` has one.
        cross_validation: Over the validation cases of all folds.
    """

    label: str | None
    metric: str
    test: Estimate
    cross_validation: Estimate

    @property
    def difference(self) -> float | None:
        """Test minus cross-validation; None where one of them is undefined."""
        if self.test.mean is None or self.cross_validation.mean is None:
            return None
        return self.test.mean - self.cross_validation.mean


def find_gaps(test: CaseValues, cross_validation: CaseValues, cases: Sequence[str]) -> list[Gap]:
    """Returns the gaps, by label and then the foreground, in the order of `GAP_METRICS`.

    Args:
        test: At least one case.
        cross_validation: The same labels and metrics.
        cases: The names of the test cases, by which the test set's own evaluation draws: it has the same intervals.
    """
    labels = list(test)
    weights = PatientWeights(cases)
    by_label: dict[str, list[Gap]] = {name: [] for name in labels}
    foreground = []
    for metric in GAP_METRICS:
        columns = [test[name][metric] for name in labels]
        others = [cross_validation[name][metric] for name in labels]
        means = weights.means(np.array(columns, dtype=float).T)
        for number, name in enumerate(labels):
            estimate = replace(Estimate.of(columns[number]), interval=means.interval(number, bounds_of(metric)))
            by_label[name].append(Gap(name, metric, estimate, Estimate.of(others[number])))
        if metric in FOREGROUND_METRICS:
            interval = means.interval_over_columns(SHARE)
            foreground.append(Gap(None, metric, _foreground(columns, interval), _foreground(others)))
    return [gap for gaps in by_label.values() for gap in gaps] + foreground


def _foreground(columns: Sequence[Values], interval: Interval | None = None) -> Estimate:
    """Returns the mean of the label means, with the spread of the cases' means, as in the summary."""
    case_means = [mean_of_defined(values) for values in zip(*columns, strict=True)]
    label_means = [mean_of_defined(values) for values in columns]
    return replace(Estimate.of(case_means), mean=mean_of_defined(label_means), interval=interval)


def gaps_to_json(gaps: Sequence[Gap], predictions: str, folds: Mapping[str, str]) -> dict[str, Any]:
    """Returns the gaps as JSON values; what is undefined is null.

    Args:
        gaps: At least one.
        predictions: Digest of what the predictions were made from.
        folds: Fold to what names its COMMIT, of those that predicted and were validated.
    """
    return {
        "schema": SCHEMA,
        "predictions": predictions,
        "folds": dict(folds),
        "bootstrap_of_test_means": bootstrap_of("case", gaps[0].test.n).to_json(),
        "gaps": [{**asdict(gap), "difference": gap.difference} for gap in gaps],
    }


def gaps_from_json(content: Mapping[str, Any], folds: Mapping[str, str]) -> list[Gap] | None:
    """Returns what `gaps_to_json` was given; None where it is of other folds, or of another schema.

    Args:
        content: What it returned.
        folds: As for `gaps_to_json`, as they are now.
    """
    if (content.get("schema"), content.get("folds")) != (SCHEMA, dict(folds)):
        return None
    return [
        Gap(gap["label"], gap["metric"], _estimate(gap["test"]), _estimate(gap["cross_validation"]))
        for gap in content["gaps"]
    ]


def drawn_for_gaps(content: Mapping[str, Any]) -> Bootstrap:
    """Returns how the intervals were made of what `gaps_to_json` returned, now or in an older version."""
    return Bootstrap(**content["bootstrap_of_test_means"])


def _estimate(content: Mapping[str, Any]) -> Estimate:
    interval = content["interval"]
    return Estimate(**{**content, "interval": Interval(**interval) if interval else None})
