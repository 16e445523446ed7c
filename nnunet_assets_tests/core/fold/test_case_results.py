import math
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.case_results import LabelScore, read_case_results
from nnunet_assets.core.fold.fold_result import read_fold_result
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary

LABELS = {"background": 0, "anterior": 1, "posterior": 2}
NAN = {"Dice": math.nan, "IoU": math.nan}


@pytest.fixture
def fold_folder(tmp_path: Path) -> Any:
    return tmp_path / "fold_0"


def read(fold_folder: Path, labels: Any = LABELS, expected: Any = ("a", "b"), file_ending: str = ".nii.gz") -> Any:
    return read_fold_result(
        fold_folder, labels, build_manifest(fold_folder), expected, file_ending=file_ending, commit_sha256=""
    )


def scores_of(fold_folder: Path, metrics: Any, labels: Any) -> Any:
    write_validation_summary(fold_folder, [summary_entry("a", metrics)])
    return dict(read(fold_folder, labels, expected=["a"]).cases[0].scores)


def test_a_fold_holds_its_cases_in_order_with_label_names_and_what_it_was_made_from(fold_folder: Path) -> None:
    write_validation_summary(
        fold_folder, [summary_entry("b", {"1": 0.5, "2": 0.0}), summary_entry("a", {"1": 1.0, "2": NAN})]
    )

    result = read(fold_folder)

    assert result.fold == "fold_0"
    assert result.inputs == INPUTS
    assert (result.n_epochs, result.seconds) == (2, {"training": 3.5, "validation": 1.5})
    assert result.label_names == ("anterior", "posterior")
    assert [case.case_id for case in result.cases] == ["a", "b"]
    assert result.cases[0].scores == {"anterior": LabelScore(1.0, 1.0), "posterior": LabelScore(None, None)}
    assert result.cases[1].scores == {"anterior": LabelScore(0.5, 0.5 / 1.5), "posterior": LabelScore(0.0, 0.0)}


@pytest.mark.parametrize(
    ("labels", "metrics", "names"),
    [
        # Background and ignore have no score.
        ({"background": 0, "tumour": 1, "ignore": 2}, {"1": 0.5}, ["tumour"]),
        # nnU-Net accepts a value written as text, and writes [1] as 1 where no label is a real region.
        ({"background": 0, "tumour": "1"}, {"1": 0.5}, ["tumour"]),
        ({"background": 0, "tumour": [1]}, {"1": 0.5}, ["tumour"]),
        # Regions, in the file as text of a tuple, and a region of one value beside them.
        ({"background": 0, "whole": [1, 2], "core": 2}, {"(1, 2)": 0.5, "2": 0.5}, ["whole", "core"]),
        ({"background": 0, "whole": (1, 2), "core": [2]}, {"(1, 2)": 0.5, "(2,)": 0.5}, ["whole", "core"]),
        # Numbers of several digits are not taken apart.
        ({"background": 0, "a": 12, "b": [1, 12], "c": 2}, {"12": 0.5, "(1, 12)": 0.5, "2": 0.5}, ["a", "b", "c"]),
    ],
)
def test_labels_are_those_that_nnunet_evaluates(
    fold_folder: Path, labels: dict[str, Any], metrics: dict[str, Any], names: list[str]
) -> None:
    assert list(scores_of(fold_folder, metrics, labels)) == names


def test_a_dot_in_a_case_id_is_not_taken_for_the_file_ending(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5}), summary_entry("a.nii", {"1": 0.5})])
    result = read(fold_folder, {"background": 0, "x": 1}, expected=["a", "a.nii"])
    assert [case.case_id for case in result.cases] == ["a", "a.nii"]


def test_scores_can_be_read_before_the_fold_is_committed(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 1.0})])
    (case,) = read_case_results(fold_folder, LABELS, ["a"], file_ending=".nii.gz")
    assert case.scores["posterior"] == LabelScore(1.0, 1.0)


def test_an_absent_summary_is_an_error_with_its_path(fold_folder: Path) -> None:
    with pytest.raises(SummaryError, match=r"fold_0/validation/summary.json cannot be read: No such file.*validation"):
        read(fold_folder)


@pytest.mark.parametrize("length", [0, 1, 40, -5])
def test_a_torn_summary_is_an_error_whatever_its_length(fold_folder: Path, length: int) -> None:
    path = write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SummaryError, match=r"summary.json is torn.*Restore the file"):
        read(fold_folder, expected=["a"])


@pytest.mark.parametrize(
    "text", ["[]", "{}", "3", '"text"', "null", '{"metric_per_case": null}', "\xff", '{"metric_per_case": 1}']
)
def test_another_file_is_not_taken_for_an_evaluation(fold_folder: Path, text: str) -> None:
    path = write_validation_summary(fold_folder, [])
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SummaryError, match="not an evaluation of nnU-Net"):
        read(fold_folder)


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {},
        {"prediction_file": None, "metrics": {}},
        {"prediction_file": "a.nii.gz", "metrics": []},
        {"prediction_file": "a.nii.gz", "metrics": {"1": 3}},
        {"prediction_file": "a.nii.gz", "metrics": {"1": {"Dice": 0.5}}},
    ],
)
def test_a_case_of_another_form_is_an_error(fold_folder: Path, entry: Any) -> None:
    write_validation_summary(fold_folder, [entry])
    with pytest.raises(SummaryError, match="is not as nnU-Net writes it"):
        read(fold_folder)


@pytest.mark.parametrize("metrics", [{"1": 0.5}, {"1": 0.5, "2": 0.5, "3": 0.5}, {"1": 0.5, "(1, 2)": 0.5}, {"": 0.5}])
def test_other_labels_than_those_of_the_dataset_are_refused(fold_folder: Path, metrics: dict[str, Any]) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", metrics)])
    with pytest.raises(SummaryError, match=r"dataset.json has \[\[1\], \[2\]\]"):
        read(fold_folder, expected=["a"])


@pytest.mark.parametrize("value", [1.5, -0.1, math.inf, "0.5", True, [0.5]])
def test_a_score_that_is_no_number_from_0_to_1_is_refused(fold_folder: Path, value: Any) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": {"Dice": value, "IoU": 0.5}, "2": 0.5})])
    with pytest.raises(SummaryError, match=r"anterior of a.nii.gz .* not a number from 0 to 1"):
        read(fold_folder, expected=["a"])


def test_a_dice_without_its_iou_is_refused(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": {"Dice": math.nan, "IoU": 0.0}, "2": 0.5})])
    with pytest.raises(SummaryError, match=r"Of Dice and IoU of anterior .* only one is defined"):
        read(fold_folder, expected=["a"])


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (["a"], r"old \(not in the validation set of the split\)"),
        (["a", "old", "b"], r"The 2 cases .* the 3 of the split: b \(in the validation set but without a score\)"),
        (["a", "b"], r"old \(not in .*\); b \(in the validation set but"),
    ],
)
def test_the_cases_must_be_those_of_the_split_and_the_odd_ones_are_named(
    fold_folder: Path, expected: list[str], message: str
) -> None:
    write_validation_summary(fold_folder, [summary_entry(case, {"1": 0.5, "2": 0.5}) for case in ("a", "old")])
    with pytest.raises(SummaryError, match=message):
        read(fold_folder, expected=expected)


def test_a_case_that_is_there_twice_is_refused(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry(case, {"1": 0.5, "2": 0.5}) for case in ("a", "a")])
    with pytest.raises(SummaryError, match=r"a \(more than once\)"):
        read(fold_folder, expected=["a"])


def test_a_fold_without_validation_cases_has_no_result(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [])
    with pytest.raises(SummaryError, match="holds no case"):
        read(fold_folder, expected=[])


def test_a_prediction_of_another_file_ending_is_refused(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5}, file_ending=".mha")])
    with pytest.raises(SummaryError, match=r"a.mha .* does not end in .nii.gz"):
        read(fold_folder, expected=["a"])


def test_a_summary_that_was_rewritten_after_the_commit_is_refused(fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    manifest = build_manifest(fold_folder)
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.9, "2": 0.9})])
    with pytest.raises(SummaryError, match="does not hold the scores that fold_0 was committed with"):
        read_fold_result(fold_folder, LABELS, manifest, ["a"], file_ending=".nii.gz", commit_sha256="")


def test_a_copied_fold_folder_is_refused(tmp_path: Path, fold_folder: Path) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    copy = fold_folder.rename(tmp_path / "fold_3")
    with pytest.raises(SummaryError, match=r"The manifest in .*fold_3 is that of fold_0"):
        read_fold_result(copy, LABELS, build_manifest(fold_folder), ["a"], file_ending=".nii.gz", commit_sha256="")


def test_two_names_of_one_label_value_are_refused(fold_folder: Path) -> None:
    with pytest.raises(SummaryError, match=r"'x' and 'y' of dataset.json both have the value \[1\]"):
        scores_of(fold_folder, {"1": 0.5}, {"background": 0, "x": 1, "y": [1]})
