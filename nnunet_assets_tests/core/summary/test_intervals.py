import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.statistics.estimate import Bootstrap, Interval
from nnunet_assets.core.statistics.mean_intervals import N_RESAMPLES, SEED
from nnunet_assets.core.summary.intervals import with_intervals, with_recorded_patients
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result, write_patients
from nnunet_assets_tests.core.summary.test_scored_summary import hand_worked

# B is in every other case; folds of 8 and 2 cases, two cases a patient.
DICES = [0.5, 0.9, 0.8, 0.7, 0.6, 0.95, 0.85, 0.75, 0.65, 0.9]
CASES = {f"c{k}": {"A": dice, "B": dice / 2 if k % 2 else None, "never": None} for k, dice in enumerate(DICES)}
PATIENTS = {case: f"p{int(case[1:]) // 2}" for case in CASES}


def summary() -> Any:
    first = {case: CASES[case] for case in list(CASES)[:8]}
    second = {case: CASES[case] for case in list(CASES)[8:]}
    folds = [build_fold_result("fold_0", first), build_fold_result("fold_1", second)]
    return summarize(EXPERIMENT, ["fold_0", "fold_1"], folds)


def test_each_pooled_mean_lies_in_its_interval_and_nothing_else_is_changed() -> None:
    found = with_intervals(summary(), None)
    for metric in (found.labels["A"].dice, found.labels["A"].iou):
        assert metric.pooled.interval.low < metric.pooled.mean < metric.pooled.interval.high
        assert metric.over_folds.interval is None
    assert found.labels["A"].dice.pooled.interval != found.labels["A"].iou.pooled.interval
    assert found.labels["never"].dice.pooled.interval is None
    # Five cases hold B, too few for its own mean and for one that it is half of.
    assert found.labels["B"].dice.pooled.interval is None
    assert found.foreground.dice.pooled.interval is None
    assert found.folds == summary().folds


def test_patients_are_drawn_where_they_are_known_and_the_summary_says_so() -> None:
    by_case = with_intervals(summary(), None)
    assert by_case.bootstrap == Bootstrap("case", 10, n_resamples=N_RESAMPLES, seed=SEED, method="bayesian")
    by_patient = with_intervals(summary(), {**PATIENTS, "c0": "alone", "c1": "alone too", "another": "p9"})
    assert by_patient.bootstrap.clustered_by == "patient"
    assert by_patient.bootstrap.n_clusters == 6
    assert by_patient.patients.keys() == CASES.keys()
    # Five patients are too few.
    assert by_patient.labels["A"].dice.pooled.interval is not None
    assert with_intervals(summary(), PATIENTS).labels["A"].dice.pooled.interval is None


def test_intervals_survive_json_and_are_not_drawn_again() -> None:
    found = with_intervals(summary(), None)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert ScoredSummary.from_json(content) == found
    # Another machine's last digit is no edit.
    content["labels"]["A"]["dice"]["pooled"]["interval"]["low"] += 1e-9
    assert ScoredSummary.from_json(content).labels["A"].dice.pooled.interval.low == pytest.approx(
        found.labels["A"].dice.pooled.interval.low
    )


def test_a_summary_of_an_older_version_keeps_its_intervals_and_its_digest() -> None:
    content = json.loads(json.dumps(with_intervals(summary(), None).to_json()))
    del content["bootstrap"]["method"]
    content["labels"]["A"]["dice"]["pooled"]["interval"] = {"low": 0.7, "high": 0.8}
    read = ScoredSummary.from_json(content)
    assert read.labels["A"].dice.pooled.interval == Interval(0.7, 0.8)
    assert read.bootstrap.method == "bca"
    assert json.loads(json.dumps(read.to_json())) == content


def test_a_summary_of_an_unknown_split_has_intervals_of_its_cases_and_no_more(tmp_path: Path) -> None:
    roots = Roots(tmp_path, tmp_path, tmp_path)
    assert with_recorded_patients(roots, hand_worked()) == with_intervals(hand_worked(), None)


def test_what_the_record_of_the_split_knows_of_its_cases_is_taken(tmp_path: Path) -> None:
    roots = Roots(tmp_path, tmp_path, tmp_path)
    write_patients(tmp_path / EXPERIMENT.dataset, PATIENTS)
    found = with_recorded_patients(roots, summary())
    assert found.bootstrap is not None
    assert (found.bootstrap.clustered_by, found.patients, found.training_only) == ("patient", PATIENTS, ())
