"""The gap between a cross-validation and a test set, by label and metric.

It is what the ensemble scores on cases that no fold has seen, minus what the folds score on cases that their own
training left out. Both sides are pooled over cases: each test case is predicted once, by the mean of all folds; each
validation case once, by the one fold that has not seen it. The foreground mean is that of the summary: the mean of the
label means. A score is undefined (None) as everywhere, and left out of its mean.

Both sides of a gap are the same estimand. A distance is undefined where an object is missed or hallucinated, a
precision where it is missed, so that such a gap is one of the other cases, and can shrink where more are missed;
beside it stands the gap of the means that count them (`Gap.with_missed`), of distances by one diagonal for both sides.

The intervals are of the test means alone. That leaves out how sure the cross-validation's mean is, and takes each test
case for a patient of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from nnunet_assets.core.statistics.estimate import Bootstrap, Estimate, Interval, mean_of_defined
from nnunet_assets.core.statistics.mean_intervals import SHARE, PatientWeights, bootstrap_of, bounds_of
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM, counted, is_undefined_by_failure, scale_of

SCHEMA = 1

TESTED_FOLDER = "test_evaluation"
"""In the model's `nnunet_assets/`."""

GAP_FILE, GAP_TABLE = "gap.json", "gap.csv"

FOREGROUND_METRICS = ("dice", "iou")
"""Those that have a foreground mean."""

GAP_METRICS = (
    *("dice", "iou", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd"),
    *("hausdorff95_surface_mm", "assd_surface_mm", "nsd_surface"),
    *("volume_error_ml", "volume_error_relative"),
)
"""Of `evaluation.METRIC_COLUMNS` those whose mean says how good a prediction is."""

GAP_COLUMNS = (*GAP_METRICS, DIAGONAL_MM)
"""What is needed of each case."""

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
        with_missed: The same with missed and hallucinated objects counted, as `scoring` says, without an interval;
            None: they count nothing else than was measured, or the size of an image is not known.
    """

    label: str | None
    metric: str
    test: Estimate
    cross_validation: Estimate
    with_missed: "Gap | None" = None

    @property
    def difference(self) -> float | None:
        """Test minus cross-validation; None where one of them is undefined."""
        if self.test.mean is None or self.cross_validation.mean is None:
            return None
        return self.test.mean - self.cross_validation.mean

    @property
    def has_failures(self) -> bool:
        """Whether an object was missed or hallucinated on either side, so that `with_missed` says something else."""
        found = self.with_missed
        return found is not None and (found.test.n_defined, found.cross_validation.n_defined) != (
            self.test.n_defined,
            self.cross_validation.n_defined,
        )


def find_gaps(test: CaseValues, cross_validation: CaseValues, cases: Sequence[str]) -> list[Gap]:
    """Returns the gaps, by label and then the foreground, in the order of `GAP_METRICS`.

    Args:
        test: At least one case, by `GAP_COLUMNS`; without `DIAGONAL_MM` the images' size is not known.
        cross_validation: The same labels and metrics.
        cases: The names of the test cases, by which the test set's own evaluation draws: it has the same intervals.
    """
    labels = list(test)
    weights = PatientWeights(cases)
    by_label: dict[str, list[Gap]] = {name: [] for name in labels}
    foreground = []
    diagonal_mm = _largest_diagonal_mm([*test.values(), *cross_validation.values()])
    for metric in GAP_METRICS:
        columns = [test[name][metric] for name in labels]
        others = [cross_validation[name][metric] for name in labels]
        means = weights.means(np.array(columns, dtype=float).T)
        for number, name in enumerate(labels):
            estimate = replace(Estimate.of(columns[number]), interval=means.interval(number, bounds_of(metric)))
            counts = _with_missed(name, metric, (test[name], cross_validation[name]), diagonal_mm)
            by_label[name].append(Gap(name, metric, estimate, Estimate.of(others[number]), counts))
        if metric in FOREGROUND_METRICS:
            interval = means.interval_over_columns(SHARE)
            foreground.append(Gap(None, metric, _foreground(columns, interval), _foreground(others)))
    return [gap for gaps in by_label.values() for gap in gaps] + foreground


def _with_missed(
    label: str, metric: str, sides: tuple[Mapping[str, Values], Mapping[str, Values]], diagonal_mm: float | None
) -> Gap | None:
    scale = scale_of(metric, diagonal_mm)
    if not is_undefined_by_failure(metric) or scale.worst is None:
        return None
    test, cross_validation = (
        Estimate.of(
            [
                counted(metric, {metric: value, "dice": dice}, scale)
                for value, dice in zip(side[metric], side["dice"], strict=True)
            ]
        )
        for side in sides
    )
    return Gap(label, metric, test, cross_validation)


def _largest_diagonal_mm(labels: Sequence[Mapping[str, Values]]) -> float | None:
    """Returns the diagonal of the largest image of both sides; None where that of one is not known."""
    diagonals = [size for values in labels for size in values.get(DIAGONAL_MM, [None])]
    known = [size for size in diagonals if size is not None]
    return max(known) if known and len(known) == len(diagonals) else None


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
        "gaps": [_to_json(gap) for gap in gaps],
    }


def _to_json(gap: Gap) -> dict[str, Any]:
    with_missed = None if gap.with_missed is None else _to_json(gap.with_missed)
    return {**asdict(gap), "with_missed": with_missed, "difference": gap.difference}


def gaps_from_json(content: Mapping[str, Any], folds: Mapping[str, str]) -> list[Gap] | None:
    """Returns what `gaps_to_json` was given; None where it is of other folds, or of another schema.

    Args:
        content: What it returned.
        folds: As for `gaps_to_json`, as they are now.
    """
    if (content.get("schema"), content.get("folds")) != (SCHEMA, dict(folds)):
        return None
    return [_gap(gap) for gap in content["gaps"]]


def drawn_for_gaps(content: Mapping[str, Any]) -> Bootstrap:
    """Returns how the intervals were made of what `gaps_to_json` returned, now or in an older version."""
    return Bootstrap(**content["bootstrap_of_test_means"])


def _gap(content: Mapping[str, Any]) -> Gap:
    # An older version did not count what was missed.
    with_missed = content.get("with_missed")
    return Gap(
        content["label"],
        content["metric"],
        Estimate.from_json(content["test"]),
        Estimate.from_json(content["cross_validation"]),
        _gap(with_missed) if with_missed else None,
    )
