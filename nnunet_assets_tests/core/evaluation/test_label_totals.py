"""What the metrics of one label come to, of cases worked out by hand."""

import json
import math
from collections.abc import Mapping

import pytest

from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals, counted_estimate, label_estimate
from nnunet_assets.core.statistics.estimate import Estimate, Interval


def totals(*cases: Mapping[str, float | None]) -> LabelTotals:
    """Of cases with 10 voxels in both masks; what is not named is undefined."""
    found = LabelTotals()
    for known in cases:
        found.add({**dict.fromkeys(METRIC_COLUMNS), "reference_voxels": 10, "prediction_voxels": 10, **known})
    return found


def test_empty_masks_are_counted_by_which_of_them_is_empty() -> None:
    empty_reference, empty_prediction = {"reference_voxels": 0}, {"prediction_voxels": 0}
    both = {**empty_reference, **empty_prediction}
    found = totals({}, both, both, both, empty_reference, empty_prediction, empty_prediction).to_json()
    assert found["n_cases"] == 7
    assert (found["n_both_empty"], found["n_reference_empty"], found["n_prediction_empty"]) == (3, 1, 2)
    nothing = LabelTotals().to_json()
    assert [nothing[f"n_{kind}"] for kind in ("cases", "both_empty", "reference_empty", "prediction_empty")] == [0] * 4


def test_a_mean_is_over_the_cases_that_have_the_metric_and_all_are_counted() -> None:
    found = totals({"dice": 0.9, "hd95_mm": 2.0}, {"dice": 0.0}, {"dice": 0.6, "hd95_mm": 5.0})
    assert (found.estimate("dice").mean, found.estimate("dice").n_defined) == (pytest.approx(0.5), 3)
    distance = found.estimate("hd95_mm")
    assert (distance.mean, distance.n, distance.n_defined) == (3.5, 3, 2)
    assert [None if math.isnan(value) else value for value in found.values("hd95_mm")] == [2.0, None, 5.0]
    assert found.estimate("nsd") == Estimate(mean=None, sd=None, n=3, n_defined=0)


def test_an_interval_is_shown_with_its_metric_alone() -> None:
    found = totals({"dice": 0.9, "iou": 0.8})
    found.set_interval("dice", Interval(0.7, 0.95))
    assert found.estimate("dice").interval == Interval(0.7, 0.95)
    assert found.estimate("iou").interval is None
    assert label_estimate(json.loads(json.dumps(found.to_json())), "dice") == found.estimate("dice")


MISSED = {"dice": 0.0, "prediction_voxels": 0}


class TestMissedOnes:
    def test_count_the_diagonal_of_the_largest_image(self) -> None:
        found = totals(
            {"dice": 0.9, "hd95_mm": 2.0, "image_diagonal_mm": 30.0},
            {**MISSED, "image_diagonal_mm": 50.0},
            {"reference_voxels": 0, "prediction_voxels": 0, "image_diagonal_mm": 40.0},
        )
        assert found.largest_diagonal_mm == 50.0
        counted = found.counted("hd95_mm")
        assert counted is not None
        # 2 and 50; of the third case there was nothing to find.
        assert (counted.mean, counted.n, counted.n_defined) == (26.0, 3, 2)
        assert counted_estimate(found.to_json(), "hd95_mm") == counted
        assert found.to_json()["missed_counted"]["diagonal_mm"] == 50.0

    def test_count_0_where_a_metric_has_an_end_of_its_own(self) -> None:
        found = totals({"dice": 0.9, "precision": 0.8}, MISSED)
        counted = found.counted("precision")
        assert counted is not None
        assert (counted.mean, counted.n_defined) == (0.4, 2)
        # Without a size of the images there is none of a distance.
        assert (found.largest_diagonal_mm, found.counted("assd_mm")) == (None, None)

    def test_change_nothing_of_what_they_are_measured_in(self) -> None:
        found = totals({"dice": 0.9, "nsd": 0.5, "image_diagonal_mm": 30.0}, {**MISSED, "image_diagonal_mm": 1.0})
        assert found.counted("dice") is None
        assert found.counted("nsd") is None
        assert counted_estimate(found.to_json(), "dice") is None
        assert list(found.to_json()["missed_counted"]["metrics"]) == [
            "precision",
            "hd95_mm",
            "assd_mm",
            "hausdorff95_surface_mm",
            "assd_surface_mm",
        ]

    def test_of_no_case_come_to_nothing(self) -> None:
        assert LabelTotals().largest_diagonal_mm is None
        assert LabelTotals().to_json()["missed_counted"] == {"diagonal_mm": None, "metrics": {}}
        unknown = totals({"dice": 0.9, "image_diagonal_mm": 30.0}, {"dice": 0.9})
        assert unknown.largest_diagonal_mm is None

    def test_are_not_known_of_what_an_older_version_wrote(self) -> None:
        older = {"n_cases": 3, "metrics": {"hd95_mm": {"mean": 0.5, "sd": 0.1, "median": 0.5, "n": 3, "n_defined": 2}}}
        assert counted_estimate(older, "hd95_mm") is None
        assert label_estimate(older, "hd95_mm").n_defined == 2
        assert label_estimate(older, "dice") == Estimate(mean=None, sd=None, n=3, n_defined=0)


class TestLesions:
    def counts(self, reference: int, found: int, prediction: int, false: int) -> dict[str, float | None]:
        return {
            "lesions_reference": reference,
            "lesions_found": found,
            "lesions_prediction": prediction,
            "lesions_false": false,
        }

    def test_are_taken_over_all_cases_in_which_they_are_counted(self) -> None:
        # 6 of 8 found, 2 false in two cases: F1 = 12 / (12 + 2 + 2). The third case counts none.
        assert totals(self.counts(7, 6, 9, 2), self.counts(1, 0, 1, 1), {}).lesions() == {
            "n_reference": 8,
            "n_found": 6,
            "n_prediction": 10,
            "n_false": 3,
            "sensitivity": 0.75,
            "false_per_case": 1.5,
            "f1": 12 / 17,
        }

    def test_have_no_sensitivity_without_a_lesion_and_no_f1_without_a_predicted_one(self) -> None:
        found = totals(self.counts(0, 0, 2, 2)).lesions()
        assert found is not None
        assert (found["sensitivity"], found["f1"]) == (None, 0.0)
        nothing = totals(self.counts(0, 0, 0, 0)).lesions()
        assert nothing is not None
        assert (nothing["sensitivity"], nothing["false_per_case"], nothing["f1"]) == (None, 0.0, None)
        assert totals(self.counts(1, 1, 1, 0)).to_json()["lesions"]["f1"] == 1.0

    def test_are_not_told_of_where_they_are_not_counted(self) -> None:
        assert totals({"dice": 0.9}).lesions() is None
        assert "lesions" not in totals({"dice": 0.9}).to_json()


def test_only_metrics_that_some_case_has_are_written() -> None:
    written = totals({"dice": 0.9}, {"dice": None, "nsd": 0.5}).to_json()
    assert list(written["metrics"]) == ["dice", "nsd", "reference_voxels", "prediction_voxels"]
