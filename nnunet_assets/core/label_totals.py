"""What the metrics of one label come to over the cases: means, quartiles and intervals, empty masks, lesions."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nnunet_assets.core.estimate import Estimate, Interval

Metrics = Mapping[str, float | int | None]
"""The numbers of one label of one case, as `case_metrics.LabelMetrics` names them."""

LESION_COLUMNS = ("lesions_reference", "lesions_found", "lesions_prediction", "lesions_false")
METRIC_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("dice", "iou", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd"), float),
    **dict.fromkeys(("reference_voxels", "prediction_voxels"), int),
    **dict.fromkeys(("reference_ml", "prediction_ml", "volume_error_ml", "volume_error_relative"), float),
    **dict.fromkeys(LESION_COLUMNS, int),
}


@dataclass(frozen=True)
class MetricEstimate:
    """What a metric comes to over the cases; each number is None where too few values are defined.

    Attributes:
        mean: Over the defined values.
        sd: With n - 1.
        median: Of the defined values.
        n: Cases.
        n_defined: Cases in which the metric is defined.
        q1: The first quartile, as `Estimate` has it.
        q3: The third quartile.
        ci_low: From here ...
        ci_high: ... to here goes the 95 % confidence interval of the mean; None of fewer than 6 patients, or cases.
    """

    mean: float | None
    sd: float | None
    median: float | None
    n: int
    n_defined: int
    q1: float | None = None
    q3: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None

    def text(self, n_usual: int) -> str:
        """Returns mean and SD for people: `1.240 ± 0.310`, `1.240` of one value, `undefined` of none.

        Args:
            n_usual: Where the metric is defined in another number of cases, that is said: `1.240 ± 0.310 (n = 17)`.
        """
        if self.mean is None:
            return "undefined"
        spread = "" if self.sd is None else f" ± {self.sd:.3f}"
        return f"{self.mean:.3f}{spread}" + (f" (n = {self.n_defined})" if self.n_defined != n_usual else "")

    def interval_text(self) -> str:
        """Returns the interval of the mean for people: `1.012 to 1.503`, or `none`."""
        return "none" if self.ci_low is None else f"{self.ci_low:.3f} to {self.ci_high:.3f}"

    def median_text(self) -> str:
        """Returns median and quartiles for people: `1.200 [0.900, 1.410]`, `1.200` of one value, or `undefined`."""
        if self.median is None:
            return "undefined"
        return f"{self.median:.3f}" + ("" if self.q1 is None else f" [{self.q1:.3f}, {self.q3:.3f}]")


class LabelTotals:
    """The metrics of one label, gathered case by case; 8 bytes a number."""

    def __init__(self) -> None:
        self.n_cases = self.n_both_empty = self.n_reference_empty = self.n_prediction_empty = 0
        self._values = {name: array("d") for name in METRIC_COLUMNS}
        self._intervals: dict[str, Interval | None] = {}

    def add(self, metrics: Metrics) -> None:
        """Counts a case in."""
        self.n_cases += 1
        is_empty = metrics["reference_voxels"] == 0, metrics["prediction_voxels"] == 0
        self.n_both_empty += is_empty == (True, True)
        self.n_reference_empty += is_empty == (True, False)
        self.n_prediction_empty += is_empty == (False, True)
        for name, values in self._values.items():
            value = metrics[name]
            values.append(math.nan if value is None else value)

    def values(self, name: str) -> "array[float]":
        """Returns a metric of every case, in the order in which they were counted in; NaN where it is undefined."""
        return self._values[name]

    def set_interval(self, name: str, interval: Interval | None) -> None:
        """Takes the confidence interval of a metric's mean, over all cases that were counted in."""
        self._intervals[name] = interval

    def estimate(self, name: str) -> MetricEstimate:
        """Returns what one metric comes to."""
        found, interval = Estimate.of(self._defined(name)), self._intervals.get(name)
        return MetricEstimate(
            mean=found.mean,
            sd=found.sd,
            median=found.median,
            n=self.n_cases,
            n_defined=found.n_defined,
            q1=found.q1,
            q3=found.q3,
            ci_low=interval.low if interval else None,
            ci_high=interval.high if interval else None,
        )

    def lesions(self) -> dict[str, float | int | None] | None:
        """Returns the lesions of all cases together, by `DEFINITIONS`; None where they are not counted.

        Sensitivity is None without a lesion in any reference, F1 also without one in any prediction.
        """
        n_cases = len(self._defined("lesions_reference"))
        if not n_cases:
            return None
        reference, found, prediction, false = (int(sum(self._defined(name))) for name in LESION_COLUMNS)
        n_scored = found + false + reference  # 2 found + false + missed
        return {
            "n_reference": reference,
            "n_found": found,
            "n_prediction": prediction,
            "n_false": false,
            "sensitivity": found / reference if reference else None,
            "false_per_case": false / n_cases,
            "f1": 2 * found / n_scored if n_scored else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Returns the counts of empty masks, what each metric that is defined anywhere comes to, and the lesions."""
        found = {name: self.estimate(name) for name in METRIC_COLUMNS}
        lesions = self.lesions()
        return {
            "n_cases": self.n_cases,
            "n_both_empty": self.n_both_empty,
            "n_reference_empty": self.n_reference_empty,
            "n_prediction_empty": self.n_prediction_empty,
            "metrics": {name: asdict(estimate) for name, estimate in found.items() if estimate.n_defined},
            **({} if lesions is None else {"lesions": lesions}),
        }

    def _defined(self, name: str) -> list[float]:
        return [value for value in self._values[name] if not math.isnan(value)]
