"""What proves the scores of a fold whose manifest vouches for the bytes of its summary.json alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.fold.recorded_scores import are_recorded
from nnunet_assets_tests.builders import summary_entry, write_validation_summary

DICES = {"a": (0.5, 0.25), "b": (1.0, None)}
NAN = {"Dice": float("nan"), "IoU": float("nan")}
# Means of 0.5 and 1, of 0.25 alone; as IoU of 1/3 and 1, of 1/7.
MEANS = {
    "val_dice/anterior": 0.75,
    "val_iou/anterior": (0.5 / 1.5 + 1.0) / 2,
    "val_dice/posterior": 0.25,
    "val_iou/posterior": 0.25 / 1.75,
}


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    """A fold of two cases that was validated."""
    folder = tmp_path / "fold_0"
    write_scores(folder, DICES)
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    return folder


def write_scores(folder: Path, dices: dict[str, Any]) -> None:
    entries = [summary_entry(case, {"1": a, "2": NAN if b is None else b}) for case, (a, b) in dices.items()]
    write_validation_summary(folder, entries)


def summarized(folder: Path, *, commit: str = "commit", **changes: Any) -> None:
    """Writes the experiment's summary, with this fold in it beside another one."""
    cases = {
        case: {
            name: {"dice": dice, "iou": None if dice is None else dice / (2 - dice)}
            for name, dice in zip(("anterior", "posterior"), dices, strict=True)
        }
        for case, dices in DICES.items()
    }
    file = folder.parent / "nnunet_assets" / "cv_summary.json"
    file.parent.mkdir(exist_ok=True)
    folds = [{"commit_sha256": "other", "cases": {}}, {"commit_sha256": commit, "cases": {**cases, **changes}}]
    file.write_text(json.dumps({"folds": folds}))


def is_recorded(folder: Path, cases: tuple[str, ...] = ("a", "b")) -> bool:
    return are_recorded(folder, (folder / "validation" / "summary.json").read_bytes(), cases, "commit")


def test_the_summary_of_the_experiment_has_them_case_by_case(fold: Path) -> None:
    summarized(fold)
    assert is_recorded(fold)
    write_scores(fold, {**DICES, "a": (0.5, 0.26)})
    assert not is_recorded(fold)


def test_a_summary_that_has_other_scores_is_believed_more_than_the_journal(fold: Path) -> None:
    append_record(journal_path(fold), "end", MEANS)
    assert is_recorded(fold)
    summarized(fold, b={"anterior": {"dice": 0.9, "iou": 0.8}, "posterior": {"dice": None, "iou": None}})
    assert not is_recorded(fold)


def test_a_summary_without_this_fold_leaves_it_to_the_journal(fold: Path) -> None:
    summarized(fold, commit="of an earlier training")
    assert not is_recorded(fold)
    append_record(journal_path(fold), "end", MEANS)
    assert is_recorded(fold)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"folds": 3}', '{"folds": [3]}', '{"folds": [{"cases": {}}]}'])
def test_a_summary_that_says_nothing_leaves_it_to_the_journal(fold: Path, content: str) -> None:
    summarized(fold)
    (fold.parent / "nnunet_assets" / "cv_summary.json").write_text(content)
    append_record(journal_path(fold), "end", MEANS)
    assert is_recorded(fold)


def test_the_end_of_the_journal_has_every_mean_to_the_last_digit(fold: Path) -> None:
    append_record(journal_path(fold), "epoch", MEANS, epoch=0)
    assert not is_recorded(fold)
    append_record(journal_path(fold), "end", {**MEANS, "val_dice_mean": 0.5})
    assert is_recorded(fold)
    # The last end counts, and each of the means.
    for name, mean in MEANS.items():
        append_record(journal_path(fold), "end", {**MEANS, name: mean + 1e-15})
        assert not is_recorded(fold)
        append_record(journal_path(fold), "end", {key: value for key, value in MEANS.items() if key != name})
        assert not is_recorded(fold)
    append_record(journal_path(fold), "end", MEANS)
    assert is_recorded(fold)


def test_of_a_label_that_no_case_has_the_mean_is_none(fold: Path) -> None:
    write_scores(fold, {"a": (0.5, None), "b": (1.0, None)})
    undefined = dict.fromkeys(("val_dice/posterior", "val_iou/posterior"))
    append_record(journal_path(fold), "end", {**MEANS, **undefined})
    assert is_recorded(fold)


def test_what_cannot_be_read_is_not_recorded(fold: Path) -> None:
    summarized(fold)
    assert not is_recorded(fold, ("a",))
    assert not are_recorded(fold, b"{", ["a", "b"], "commit")
    for content in ("{", "[]", '{"labels": {}}', '{"labels": 3, "file_ending": ".nii.gz"}'):
        (fold.parent / "dataset.json").write_text(content)
        assert not is_recorded(fold)
    (fold.parent / "dataset.json").unlink()
    assert not is_recorded(fold)
