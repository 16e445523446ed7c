import math
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.validation.case_results import LabelScore, read_case_results
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import summary_entry, write_validation_summary

LABELS = {"background": 0, "anterior": 1, "posterior": 2}
NAN = {"Dice": math.nan, "IoU": math.nan}


@pytest.fixture
def fold_folder(tmp_path: Path) -> Any:
    return tmp_path / "fold_0"


def read(fold_folder: Path, labels: Any = LABELS, expected: Any = ("a", "b"), file_ending: str = ".nii.gz") -> Any:
    return read_case_results(fold_folder, labels, expected, file_ending=file_ending)


def scores_of(fold_folder: Path, metrics: Any, labels: Any) -> Any:
    write_validation_summary(fold_folder, [summary_entry("a", metrics)])
    return dict(read(fold_folder, labels, expected=["a"])[0].scores)


def test_cases_stand_in_the_order_of_their_ids_with_label_names(fold_folder: Path) -> None:
    write_validation_summary(
        fold_folder, [summary_entry("b", {"1": 0.5, "2": 0.0}), summary_entry("a", {"1": 1.0, "2": NAN})]
    )
    found = read(fold_folder)
    assert [case.case_id for case in found] == ["a", "b"]
    assert found[0].scores == {"anterior": LabelScore(1.0, 1.0), "posterior": LabelScore(None, None)}
    assert found[1].scores == {"anterior": LabelScore(0.5, 0.5 / 1.5), "posterior": LabelScore(0.0, 0.0)}


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
    found = read(fold_folder, {"background": 0, "x": 1}, expected=["a", "a.nii"])
    assert [case.case_id for case in found] == ["a", "a.nii"]


def test_an_absent_summary_is_an_error_with_its_path(fold_folder: Path) -> None:
    with pytest.raises(SummaryError, match=r"fold_0/validation/summary.json cannot be read: No such file.*validation"):
        read(fold_folder)


def test_more_than_anybody_writes_is_not_read(fold_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": 0.5, "2": 0.5})])
    monkeypatch.setattr("nnunet_assets.core.files.json_file.MOST_BYTES", 10)
    with pytest.raises(SummaryError, match=r"summary.json are not read: it has .* MB.*Restore the file"):
        read(fold_folder, expected=["a"])


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


def test_what_scored_the_background_too_is_read_without_it(fold_folder: Path) -> None:
    assert list(scores_of(fold_folder, {"0": 0.9, "1": 0.5, "2": 0.5}, LABELS)) == ["anterior", "posterior"]


def test_a_label_named_ignore_has_no_score_whatever_its_value(fold_folder: Path) -> None:
    assert list(scores_of(fold_folder, {"1": 0.5}, {"air": 0, "ignore": 5, "organ": 1})) == ["organ"]


def test_whole_numbers_are_scores_too_and_null_is_undefined(fold_folder: Path) -> None:
    found = scores_of(fold_folder, {"1": {"Dice": 1, "IoU": 0}, "2": {"Dice": None, "IoU": None}}, LABELS)
    assert found == {"anterior": LabelScore(1.0, 0.0), "posterior": LabelScore(None, None)}
    assert isinstance(found["anterior"].dice, float)


@pytest.mark.parametrize("value", [1.5, -0.1, math.inf, "0.5", True, [0.5]])
def test_a_score_that_is_no_number_from_0_to_1_is_refused(fold_folder: Path, value: Any) -> None:
    write_validation_summary(fold_folder, [summary_entry("a", {"1": {"Dice": value, "IoU": 0.5}, "2": 0.5})])
    with pytest.raises(SummaryError, match=r"anterior of a.nii.gz .* not a number from 0 to 1"):
        read(fold_folder, expected=["a"])


@pytest.mark.parametrize("scores", [(math.nan, 0.0), (0.0, math.nan)])
def test_a_dice_without_its_iou_is_refused(fold_folder: Path, scores: tuple[float, float]) -> None:
    metrics = {"1": dict(zip(("Dice", "IoU"), scores, strict=True)), "2": 0.5}
    write_validation_summary(fold_folder, [summary_entry("a", metrics)])
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


def test_two_names_of_one_label_value_are_refused(fold_folder: Path) -> None:
    with pytest.raises(SummaryError, match=r"'x' and 'y' of dataset.json both have the value \[1\]"):
        scores_of(fold_folder, {"1": 0.5}, {"background": 0, "x": 1, "y": [1]})
