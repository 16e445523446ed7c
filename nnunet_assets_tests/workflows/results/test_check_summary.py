"""The checks of a summary, on summaries of folds that were never trained."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment, Roots
from nnunet_assets.core.fold.commit import commit_sha256
from nnunet_assets.core.summary.baseline import Baseline, Score
from nnunet_assets.core.summary.summary_files import baseline_path
from nnunet_assets.workflows.results import check_summary as workflow
from nnunet_assets.workflows.results.check_summary import CHECKS, CheckedSummary, check_summary
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets_tests.cross_validation_builders import NAN, write_fold
from nnunet_assets_tests.training_builders import roots_in

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Two finished folds of three: the first of three cases, the last of one."""
    roots = roots_in(tmp_path)
    write(roots, "fold_0", a=(0.9, 0.6), b=(0.8, 0.4), c=(0.7, 0.5))
    write(roots, "fold_2", d=(0.4, 0.3))
    return roots


def write(roots: Roots, fold: str, **cases: tuple[float, float]) -> Path:
    return write_fold(EXPERIMENT.model_folder(roots), fold, cases)


def checked(roots: Roots, name: str, *, n_folds: int = 3, recorded: Mapping[str, str] | None = None) -> CheckedSummary:
    """Makes the summary and returns the check of that name."""
    summary = make_summary(roots, EXPERIMENT, [f"fold_{k}" for k in range(n_folds)]).summary
    (found,) = [result for result in check_summary(roots, summary, recorded or {}) if result.name == name]
    return found


def write_validation(roots: Roots, *folds: list[str]) -> None:
    file = roots.preprocessed / EXPERIMENT.dataset / "splits_final.json"
    write_json_atomically(file, [{"train": [], "val": cases} for cases in folds])


def test_every_fold_makes_it_complete_and_a_missing_one_is_named(roots: Roots) -> None:
    found = checked(roots, "has_every_fold")
    assert found.problems == ["2 of 3 folds (fold_1 missing)"]
    assert (found.numbers, found.texts) == ({"folds_finished": 2, "folds_expected": 3}, {"missing_folds": "fold_1"})
    assert found.rows == [["fold_0", 3], ["fold_1", "missing"], ["fold_2", 1]]

    write(roots, "fold_1", e=(0.9, 0.9))
    found = checked(roots, "has_every_fold")
    assert (found.problems, found.description, found.texts) == ([], "3 of 3 folds", {"missing_folds": "none"})


def test_a_fold_whose_scores_were_edited_is_not_finished(roots: Roots) -> None:
    (EXPERIMENT.fold_folder(roots, "fold_0") / "validation" / "summary.json").write_text("{}")

    assert checked(roots, "has_every_fold").description == "1 of 3 folds (fold_0, fold_1 missing)"


def test_folds_are_as_recorded_or_named(roots: Roots) -> None:
    recorded = {fold: commit_sha256(EXPERIMENT.fold_folder(roots, fold)) for fold in ("fold_0", "fold_2")}

    assert checked(roots, "folds_are_as_recorded", recorded=recorded).problems == []
    found = checked(roots, "folds_are_as_recorded", recorded={**recorded, "fold_2": "of an earlier training"})

    assert found.numbers == {"folds_as_recorded": 1, "folds_otherwise": 1}
    # The beginnings of the digests are enough to tell them apart.
    assert found.rows == [
        ["fold_0", recorded["fold_0"][:12], recorded["fold_0"][:12]],
        ["fold_2", recorded["fold_2"][:12], "of an earlie"],
    ]
    assert found.description.startswith("fold_2 on the disk was not materialized by this Dagster instance.")


def test_cases_are_those_of_the_split(roots: Roots) -> None:
    write_validation(roots, ["a", "b", "c"], ["e"], ["d"])
    assert checked(roots, "each_case_once").problems == []

    write_validation(roots, ["a", "b"], ["c"], ["d", "e"])
    found = checked(roots, "each_case_once")

    assert "Cases that were not validated by their fold in the split: e." in found.description
    assert found.numbers == {
        "cases_training_only": 0,
        "cases_in_split": 5,
        "cases_validated": 4,
        "cases_missing": 1,
        "cases_foreign": 1,
    }
    assert found.rows == [["fold_0", 2, 3, 0, 1], ["fold_2", 2, 1, 1, 0]]


def test_without_a_split_nobody_knows_which_cases_are_missing(roots: Roots) -> None:
    found = checked(roots, "each_case_once")

    assert (len(found.problems), found.description.partition(":")[0]) == (1, "Unknown")
    # What is JSON and no split is none either.
    write_json_atomically(roots.preprocessed / EXPERIMENT.dataset / "splits_final.json", {"train": []})
    assert checked(roots, "each_case_once").problems == found.problems


def test_an_outlier_and_a_label_that_is_nowhere_are_named(roots: Roots) -> None:
    for index, dice in enumerate((0.9, 0.9, 0.91, 0.4)):
        write(roots, f"fold_{index}", **{f"case_{index}": (dice, NAN)})

    outlier = checked(roots, "no_fold_is_an_outlier", n_folds=4)
    absent = checked(roots, "no_label_is_absent_everywhere", n_folds=4)

    assert outlier.description.startswith("fold_3 has Dice 0.400, 0.500 from")
    assert outlier.numbers["dice_median"] == pytest.approx(0.9)
    assert absent.description.startswith("=edema & <rest>: in no reference")
    assert absent.numbers == {"labels": 2, "labels_absent": 1, "cases": 4}


def test_dice_is_compared_with_what_was_accepted(roots: Roots) -> None:
    def compared() -> tuple[bool, str]:
        found = checked(roots, "dice_is_not_below_baseline")
        return not found.problems, found.description

    passed, description = compared()
    assert passed
    assert f"`nnunet-assets accept {'/'.join(EXPERIMENT.key_prefix)}`" in description
    path = baseline_path(roots, EXPERIMENT)
    summary = make_summary(roots, EXPERIMENT, ["fold_0", "fold_1", "fold_2"]).summary
    baseline = Baseline.of(summary, accepted_at="2026-11-20", accepted_by="ada", note="")
    write_json_atomically(path, baseline.to_json())
    assert compared() == (True, "Not lower than the baseline of 2026-11-20.")

    folder = write(roots, "fold_2", d=(0.2, 0.3))
    passed, description = compared()
    assert not passed
    # Of 0.9, 0.8, 0.7 and 0.2, where it was 0.4.
    assert "tumor (core): Dice 0.650, lower than 0.680; the baseline has 0.700." in description
    (folder / OWN_FOLDER / "COMMIT").unlink()
    assert compared() == (True, "Not compared: fold_2 of the baseline is not finished.")
    path.write_text("{")
    assert not compared()[0]


def test_dice_and_limit_stand_beside_each_other_and_a_label_that_is_nowhere_has_none(roots: Roots) -> None:
    summary = make_summary(roots, EXPERIMENT, ["fold_0", "fold_1", "fold_2"]).summary
    baseline = Baseline.of(summary, accepted_at="2026-11-20", accepted_by="ada", note="")
    write_json_atomically(baseline_path(roots, EXPERIMENT), baseline.to_json())
    found = checked(roots, "dice_is_not_below_baseline")
    # Of 0.9, 0.8, 0.7 and 0.4.
    assert ["tumor (core)", "0.7000", "0.7000", "0.6800"] in found.rows
    write(roots, "fold_0", a=(NAN, 0.6), b=(NAN, 0.4), c=(NAN, 0.5))
    write(roots, "fold_2", d=(NAN, 0.3))
    found = checked(roots, "dice_is_not_below_baseline")
    assert ["tumor (core)", "undefined", "0.7000", "0.6800"] in found.rows
    assert "tumor (core): no Dice; the baseline has 0.700." in found.description


def test_each_check_is_described(roots: Roots) -> None:
    summary = make_summary(roots, EXPERIMENT, ["fold_0", "fold_1", "fold_2"]).summary
    assert [found.name for found in check_summary(roots, summary, {})] == list(CHECKS)


@pytest.mark.parametrize(
    ("score", "row"),
    [
        (Score("organ", 0.75, 0.73, 0.7), ["organ", "0.7000", "0.7500", "0.7300"]),
        (Score("organ", 0.75, 0.73, 0.72996), ["organ", "0.72996", "0.7500", "0.73000"]),
        (Score("organ", 0.75, 0.73, None), ["organ", "undefined", "0.7500", "0.7300"]),
    ],
)
def test_a_dice_that_is_too_low_reads_as_too_low(score: Score, row: list[str]) -> None:
    assert workflow._compared(score) == row


def test_a_split_that_is_damaged_or_has_cases_that_train_alone_is_said(roots: Roots) -> None:
    file = roots.preprocessed / EXPERIMENT.dataset / "splits_final.json"
    write_json_atomically(file, [{"train": ["x"], "val": cases} for cases in (["a", "b", "c"], ["e"], ["d"])])
    found = checked(roots, "each_case_once")
    assert (found.problems, found.numbers["cases_training_only"]) == ([], 1)
    assert found.description.endswith(
        "each validated once, by its fold in the split. In training alone: 1 case (x); no fold validates them, and no "
        "score is of them."
    )
    write_validation(roots, ["a", "b", "c"], ["e"], ["d"])
    assert checked(roots, "each_case_once").description.endswith("each validated once, by its fold in the split.")
    file.write_text("{")
    found = checked(roots, "each_case_once")
    assert (len(found.problems), "is not valid JSON" in found.description, found.numbers) == (
        1,
        True,
        {"cases_validated": 4},
    )


def test_numbers_are_shown_to_four_digits_and_a_note_as_it_is(roots: Roots) -> None:
    for index, dice in enumerate((0.9, 0.9, 0.91, 0.40004)):
        write(roots, f"fold_{index}", **{f"case_{index}": (dice, dice)})
    outlier = checked(roots, "no_fold_is_an_outlier", n_folds=4)
    assert outlier.rows[3] == ["fold_3", "0.4000", "-0.5000"]
    summary = make_summary(roots, EXPERIMENT, [f"fold_{k}" for k in range(4)]).summary
    for note, said in (("", "none"), ("Ours.", "Ours.")):
        baseline = Baseline.of(summary, accepted_at="2026-11-20", accepted_by="ada", note=note)
        write_json_atomically(baseline_path(roots, EXPERIMENT), baseline.to_json())
        texts = checked(roots, "dice_is_not_below_baseline", n_folds=4).texts
        assert (texts["baseline_note"], texts["baseline_accepted"]) == (said, "2026-11-20 by ada")
        assert texts["baseline_of"] == "fold_0, fold_1, fold_2, fold_3: 4 cases"
