"""What the metrics of one label come to over the cases: means, quartiles and intervals, empty masks, lesions."""

import math
from array import array
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from nnunet_assets.core.statistics.estimate import Estimate, Interval
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM, counted, is_undefined_by_failure, scale_of

Metrics = Mapping[str, float | int | None]
"""The numbers of one label of one case, as `case_metrics.LabelMetrics` names them."""

LESION_COLUMNS = ("lesions_reference", "lesions_found", "lesions_prediction", "lesions_false")
METRIC_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("dice", "iou", "sensitivity", "precision", "hd95_mm", "assd_mm", "nsd"), float),
    **dict.fromkeys(("hausdorff95_surface_mm", "assd_surface_mm", "nsd_surface"), float),
    **dict.fromkeys(("reference_voxels", "prediction_voxels"), int),
    **dict.fromkeys(("reference_ml", "prediction_ml", "volume_error_ml", "volume_error_relative"), float),
    **dict.fromkeys(LESION_COLUMNS, int),
}


class LabelTotals:
    """The metrics of one label, gathered case by case; 8 bytes a number."""

    def __init__(self) -> None:
        self.n_cases = self.n_both_empty = self.n_reference_empty = self.n_prediction_empty = 0
        self._values = {name: array("d") for name in METRIC_COLUMNS}
        self._intervals: dict[str, Interval | None] = {}
        self._diagonals_mm = array("d")

    def add(self, metrics: Metrics) -> None:
        """Counts a case in."""
        self.n_cases += 1
        is_empty = metrics["reference_voxels"] == 0, metrics["prediction_voxels"] == 0
        self.n_both_empty += is_empty == (True, True)
        self.n_reference_empty += is_empty == (True, False)
        self.n_prediction_empty += is_empty == (False, True)
        diagonal_mm = metrics.get(DIAGONAL_MM)
        self._diagonals_mm.append(math.nan if diagonal_mm is None else diagonal_mm)
        for name, values in self._values.items():
            value = metrics[name]
            values.append(math.nan if value is None else value)

    def values(self, name: str) -> "array[float]":
        """Returns a metric of every case, in the order in which they were counted in; NaN where it is undefined."""
        return self._values[name]

    def set_interval(self, name: str, interval: Interval | None) -> None:
        """Takes the confidence interval of a metric's mean, over all cases that were counted in."""
        self._intervals[name] = interval

    def estimate(self, name: str) -> Estimate:
        """Returns what one metric comes to; `n` counts the cases in which it is undefined, too."""
        return replace(Estimate.of(self._defined(name)), n=self.n_cases, interval=self._intervals.get(name))

    @property
    def largest_diagonal_mm(self) -> float | None:
        """The diagonal of the largest image; None where that of one is not known."""
        largest = max(self._diagonals_mm, default=math.nan)
        return None if math.isnan(largest) or any(map(math.isnan, self._diagonals_mm)) else largest

    def counted(self, name: str) -> Estimate | None:
        """Returns what a metric comes to where missed and hallucinated ones count, as `scoring` says.

        None where they count nothing else than was measured, or the size of an image is not known.
        """
        scale = scale_of(name, self.largest_diagonal_mm)
        if not is_undefined_by_failure(name) or scale.worst is None:
            return None
        pairs = zip(self._values[name], self._values["dice"], strict=True)
        values = [counted(name, {name: _known(value), "dice": _known(dice)}, scale) for value, dice in pairs]
        return Estimate.of(values)

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
        with_missed = {name: self.counted(name) for name in METRIC_COLUMNS}
        lesions = self.lesions()
        return {
            "n_cases": self.n_cases,
            "n_both_empty": self.n_both_empty,
            "n_reference_empty": self.n_reference_empty,
            "n_prediction_empty": self.n_prediction_empty,
            "metrics": {name: asdict(estimate) for name, estimate in found.items() if estimate.n_defined},
            "missed_counted": {
                "diagonal_mm": self.largest_diagonal_mm,
                "metrics": {name: asdict(one) for name, one in with_missed.items() if one and one.n_defined},
            },
            **({} if lesions is None else {"lesions": lesions}),
        }

    def _defined(self, name: str) -> list[float]:
        return [value for value in self._values[name] if not math.isnan(value)]


def label_estimate(totals: Mapping[str, Any], metric: str) -> Estimate:
    """Returns what a metric comes to, of what `LabelTotals.to_json` returned, now or in an older version."""
    if (found := totals["metrics"].get(metric)) is None:
        return Estimate(mean=None, sd=None, n=totals["n_cases"], n_defined=0)
    return Estimate.from_json(found)


def counted_estimate(totals: Mapping[str, Any], metric: str) -> Estimate | None:
    """Returns what `LabelTotals.counted` returned, likewise; None in an older version too."""
    found = totals.get("missed_counted", {"metrics": {}})["metrics"].get(metric)
    return None if found is None else Estimate.from_json(found)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
