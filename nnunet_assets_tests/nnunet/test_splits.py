import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.splits import check_splits, default_splits, ensure_splits, write_splits

CASES = ["a", "b", "c", "d", "e", "f"]
GOOD = [
    {"train": ["c", "d", "e", "f"], "val": ["a", "b"]},
    {"train": ["a", "b", "e", "f"], "val": ["c", "d"]},
    {"train": ["a", "b", "c", "d"], "val": ["e", "f"]},
]


def good_but(fold: int, **parts: list[str]) -> list[dict[str, list[str]]]:
    """Returns the good splits of `CASES` with the parts of one fold replaced."""
    return [{**split, **(parts if index == fold else {})} for index, split in enumerate(GOOD)]


def bytes_that_nnunet_writes(folder: Path, cases: list[str]) -> bytes:
    """Does as `nnUNetTrainer.do_split` does where there is no file."""
    from batchgenerators.utilities.file_and_folder_operations import save_json
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    folder.mkdir()
    all_keys_sorted = list(np.sort(list(cases)))
    save_json(generate_crossval_split(all_keys_sorted, seed=12345, n_splits=5), str(folder / "theirs.json"))
    return (folder / "theirs.json").read_bytes()


@pytest.mark.parametrize(
    "cases",
    [
        [f"hippocampus_{n:03d}" for n in range(50)],
        [f"case_{n}" for n in (10, 9, 1, 2, 100)],
        ["B", "a", "_", "Ü", "患者", "with space", "1"],
    ],
)
def test_the_default_file_is_nnunets_own_byte_for_byte(tmp_path, cases):
    ours = tmp_path / "ours"
    ensure_splits(ours, list(reversed(cases)), 5)
    assert (ours / "splits_final.json").read_bytes() == bytes_that_nnunet_writes(tmp_path / "theirs", cases)


@given(
    cases=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5), min_size=2, unique=True
    ),
    n_folds=st.integers(2, 7),
)
def test_any_default_split_validates_each_case_once(cases, n_folds):
    if len(cases) < n_folds:
        with pytest.raises(DatasetError, match=rf"{len(cases)} cases cannot be split into {n_folds} folds"):
            default_splits(cases, n_folds)
        return
    splits = default_splits(cases, n_folds)
    assert Counter(case for split in splits for case in split["val"]) == Counter(cases)
    assert check_splits(splits, cases, n_folds) == splits
    assert splits == default_splits(sorted(cases), n_folds)


@pytest.mark.parametrize("n_folds", [0, 1])
def test_a_cross_validation_has_two_folds_at_least(n_folds):
    with pytest.raises(DatasetError, match=f"6 cases cannot be split into {n_folds} folds; a cross-validation needs"):
        default_splits(CASES, n_folds)


def test_the_names_are_plain_text():
    assert {type(case) for split in default_splits(CASES, 3) for case in [*split["train"], *split["val"]]} == {str}


def test_splitting_imports_no_torch():
    code = (
        "import sys; from nnunet_assets.nnunet.splits import default_splits; default_splits(list('abcde'), 5);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_that_fits_is_kept_byte_for_byte(tmp_path):
    own = json.dumps(GOOD)  # one line, as nnU-Net would not write it
    (tmp_path / "splits_final.json").write_text(own)
    assert ensure_splits(tmp_path, list(reversed(CASES)), 3) == GOOD
    assert (tmp_path / "splits_final.json").read_text() == own


def test_a_fold_may_train_on_fewer_cases():
    splits = good_but(0, train=["c", "d"])
    assert check_splits(splits, CASES, 3) == splits


def test_no_temporary_file_stays_behind(tmp_path):
    write_splits(tmp_path / "new", GOOD)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["splits_final.json"]


@pytest.mark.parametrize(
    ("splits", "problem"),
    [
        (GOOD[:2], "It has 2 folds instead of 3.\nNo fold validates these cases: e, f."),
        (good_but(0, train=["a", "c", "d", "e", "f"]), "fold_0 trains on cases that it validates: a."),
        (good_but(1, val=["c", "d", "x"]), "It names cases that the dataset does not have: x."),
        (good_but(1, val=["c"]), "No fold validates these cases: d."),
        (good_but(1, val=["c", "d", "e"], train=["a"]), "These cases are validated more than once: e."),
        (good_but(2, val=["e", "f", "f"]), "These cases are validated more than once: f."),
        (good_but(2, train=[]), "fold_2 has no case in 'train'."),
    ],
)
def test_splits_that_are_no_cross_validation_of_the_cases(splits, problem):
    with pytest.raises(DatasetError) as caught:
        check_splits(splits, CASES, 3)
    assert str(caught.value) == f"splits_final.json does not fit the dataset and its 3 folds:\n{problem}"


@pytest.mark.parametrize(
    "content", [{}, [[]], [{"train": ["a"]}], [{"train": "a", "val": "b"}], [{"train": [1], "val": []}]]
)
def test_a_file_of_another_form(content):
    with pytest.raises(DatasetError, match=r"splits_final\.json is not a list of folds of the form"):
        check_splits(content, CASES, 3)


def test_a_file_for_other_cases_is_never_written_over(tmp_path):
    path = write_splits(tmp_path, GOOD)
    before = path.read_bytes()
    with pytest.raises(DatasetError) as caught:
        ensure_splits(tmp_path, ["a", "b", "c", "d", "e", "g", "h"], 3)
    message = str(caught.value)
    assert message.startswith(f"{path} does not fit the dataset and its 3 folds:\n")
    assert "does not have: f." in message
    assert "No fold validates these cases: g, h." in message
    assert "Restore the data or the number of folds that it was made for; or, to start over" in message
    assert path.read_bytes() == before


def test_all_that_does_not_fit_is_said_with_the_first_five_and_the_count(tmp_path):
    write_splits(tmp_path, GOOD)
    with pytest.raises(DatasetError) as caught:
        ensure_splits(tmp_path, [f"case_{n}" for n in range(10)], 5)
    message = str(caught.value)
    assert "It has 3 folds instead of 5." in message
    assert "does not have: a, b, c, d, e and 1 more." in message
    assert "No fold validates these cases: case_0, case_1, case_2, case_3, case_4 and 5 more." in message


def test_a_torn_file_is_said_to_be_torn(tmp_path):
    (tmp_path / "splits_final.json").write_text('[{"train": ["a"')
    with pytest.raises(DatasetError, match=r"splits_final\.json is not valid JSON .*delete it\."):
        ensure_splits(tmp_path, CASES, 3)
