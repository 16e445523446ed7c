"""What an evaluation says as a whole, of cases worked out by hand."""

import csv
from dataclasses import replace

import pytest

from nnunet_assets.core.evaluation.evaluation import Evaluation, Problem, score_difference, table_row
from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals, counted_estimate
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.core.statistics.scoring import WHERE_BOTH
from nnunet_assets.core.validation.case_results import LabelScore
from nnunet_assets.errors import EvaluationError
from nnunet_assets.reports.tables.evaluation_tables import notes, short_records, to_csv

POLICY = MetricPolicy({"organ": LabelRule((1,))}, (0, 1))


def metrics(**known: float | None) -> dict[str, float | None]:
    """Metrics of a case with 10 voxels in both masks; what is not named is undefined."""
    return {**dict.fromkeys(METRIC_COLUMNS), "reference_voxels": 10, "prediction_voxels": 10, **known}


def evaluation(*cases: dict[str, float | None], problems: tuple[Problem, ...] = ()) -> Evaluation:
    totals = LabelTotals()
    for case in cases:
        totals.add(case)
    n = len(cases)
    return Evaluation("the model", POLICY, n, n, ("fold_0",), (), {"organ": totals}, problems)


def test_means_are_over_the_cases_in_which_a_metric_is_defined_and_both_numbers_are_told() -> None:
    missed = metrics(dice=0.0, iou=0.0, nsd=0.0, prediction_voxels=0)
    found = evaluation(metrics(dice=0.9, hd95_mm=2.0), metrics(dice=0.6, hd95_mm=5.0), missed)
    (row,) = short_records(found.to_json())
    assert (row["Dice"], row["cases"]) == ("0.500 ± 0.458", "3 of 3")
    assert row["HD95 [mm], where both have it"] == "3.500 ± 2.121 (n = 2)"
    assert row["ASSD [mm], where both have it"] == "undefined"
    label = found.to_json()["labels"]["organ"]
    assert (label["n_prediction_empty"], label["n_reference_empty"], label["n_both_empty"]) == (1, 0, 0)
    assert label["metrics"]["hd95_mm"] == {
        "mean": 3.5,
        "sd": pytest.approx(2.1213203),
        "median": 3.5,
        "n": 3,
        "n_defined": 2,
        "q1": 2.75,
        "q3": 4.25,
        "interval": None,
    }


def test_a_missed_label_counts_the_diagonal_of_the_largest_image_in_a_mean_of_its_own() -> None:
    missed = metrics(dice=0.0, nsd=0.0, prediction_voxels=0, image_diagonal_mm=50.0)
    empty = metrics(reference_voxels=0, prediction_voxels=0, image_diagonal_mm=40.0)
    found = evaluation(metrics(dice=0.9, hd95_mm=2.0, image_diagonal_mm=30.0), missed, empty).to_json()
    (row,) = short_records(found)
    assert row["HD95 [mm], where both have it"] == "2.000 (n = 1)"
    assert row["HD95 [mm], missed ones counted"] == "26.000 ± 33.941"
    assert any("counts 50.000 mm, the diagonal of the largest image" in note for note in notes(found))
    lines = {line["metric"]: line for line in csv.DictReader(to_csv(found).splitlines())}
    assert (lines["hd95_mm"]["mean"], lines["hd95_mm"]["mean_missed_counted"]) == ("2.0", "26.0")
    assert lines["dice"]["mean_missed_counted"] == ""
    assert counted_estimate(found["labels"]["organ"], "hd95_mm").n_defined == 2
    assert counted_estimate(found["labels"]["organ"], "dice") is None


def test_missed_ones_count_nothing_where_the_size_of_an_image_is_not_known() -> None:
    missed = metrics(dice=0.0, prediction_voxels=0)
    found = evaluation(metrics(dice=0.9, hd95_mm=2.0, image_diagonal_mm=30.0), missed).to_json()
    assert counted_estimate(found["labels"]["organ"], "hd95_mm") is None
    assert "HD95 [mm], missed ones counted" not in short_records(found)[0]


def test_lesions_are_also_taken_over_all_cases() -> None:
    def lesions(reference: int, found: int, prediction: int, false: int) -> dict[str, float | None]:
        return metrics(
            lesions_reference=reference, lesions_found=found, lesions_prediction=prediction, lesions_false=false
        )

    # 6 of 8 lesions found, 2 false in two cases: F1 = 12 / (12 + 2 + 2).
    counted = evaluation(lesions(7, 6, 7, 1), lesions(1, 0, 1, 1))
    assert counted.to_json()["labels"]["organ"]["lesions"] == {
        "n_reference": 8,
        "n_found": 6,
        "n_prediction": 8,
        "n_false": 2,
        "sensitivity": 0.75,
        "false_per_case": 1.0,
        "f1": 0.75,
    }
    (row,) = short_records(counted.to_json())
    assert list(row.values())[-4:] == ["6 of 8 (0.750)", "1.00", "0.750", "0 of 2"]
    nothing = evaluation(lesions(0, 0, 0, 0)).to_json()["labels"]["organ"]["lesions"]
    assert (nothing["sensitivity"], nothing["false_per_case"], nothing["f1"]) == (None, 0.0, None)
    assert "Lesion F1" not in short_records(evaluation(metrics(dice=0.9)).to_json())[0]


def test_one_case_has_no_sd() -> None:
    assert short_records(evaluation(metrics(dice=0.9)).to_json())[0]["Dice"] == "0.900"


def test_the_headline_counts_the_problems_and_the_text_shows_the_first() -> None:
    found = evaluation(metrics(dice=0.9), problems=tuple(Problem(f"Case {n}.") for n in range(12)))
    assert found.headline() == "1 of 1 cases, organ Dice 0.900; 12 problems"
    assert found.problem_text().splitlines()[-2:] == ["Case 9.", "... and 2 more problems."]
    assert found.n_computed == 0  # unless it is said
    ten, eleven = (evaluation(problems=tuple(Problem(f"Case {k}.") for k in range(n))) for n in (10, 11))
    assert ten.problem_text().splitlines()[-1] == "Case 9."
    assert eleven.problem_text().splitlines()[-1] == "... and 1 more problems."
    assert evaluation(metrics(dice=0.9)).problem_text() == ""


def test_a_score_is_as_recorded_to_the_twelfth_digit() -> None:
    recorded = {"organ": LabelScore(dice=0.5, iou=1 / 3)}
    assert score_difference({"organ": metrics(dice=0.5 + 1e-14, iou=1 / 3)}, recorded) is None
    closer = score_difference({"organ": metrics(dice=0.5 + 1e-9, iou=1 / 3)}, recorded)
    assert closer == "organ dice 0.500000001 instead of 0.500000000"
    difference = score_difference({"organ": metrics(dice=0.5 + 1e-6, iou=None)}, recorded)
    assert difference == "organ dice 0.500001 instead of 0.500000, organ iou undefined instead of 0.333"


def test_the_headline_names_three_labels_and_where_a_distance_is_of_fewer_cases() -> None:
    whole, cut = (
        evaluation(metrics(dice=0.9, hd95_mm=2.0)),
        evaluation(metrics(dice=0.9, hd95_mm=2.0), metrics(dice=0.5)),
    )
    assert whole.headline() == "1 of 1 cases, organ Dice 0.900 and HD95 2.000 mm"
    assert cut.headline() == f"2 of 2 cases, organ Dice 0.700 and HD95 2.000 mm {WHERE_BOTH}"
    assert evaluation(metrics()).headline() == "1 of 1 cases, organ undefined"
    totals = LabelTotals()
    totals.add(metrics(dice=1.0))
    labels = dict.fromkeys(("a", "b", "c", "d"), totals)
    found = replace(whole, labels=labels, problems=(Problem("One."),))
    assert found.headline() == "1 of 1 cases, a Dice 1.000, b Dice 1.000, c Dice 1.000; 1 problem"
    assert replace(whole, labels=None).headline() == "1 of 1 cases"


def test_a_row_of_the_table_has_the_tolerance_of_its_label() -> None:
    policy = MetricPolicy({"organ": LabelRule((1,), nsd_tolerance_mm=3.0)}, (0, 1))
    assert table_row("fold_0", "a", "organ", {"dice": 0.5}, policy) == {
        "fold": "fold_0",
        "case": "a",
        "label": "organ",
        "dice": 0.5,
        "nsd_tolerance_mm": 3.0,
    }


def test_an_evaluation_of_no_case_is_refused_with_its_problems() -> None:
    evaluation(metrics(dice=0.9)).refuse_empty()
    nothing = replace(evaluation(problems=(Problem("One."),)), n_expected=3)
    with pytest.raises(EvaluationError, match=r"None of the 3 cases of the model could be evaluated:\nOne\."):
        nothing.refuse_empty()
