from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.splits.case_groups import GroupTable
from nnunet_assets.core.splits.splits import (
    SplitSettings,
    check_splits,
    coverage,
    duplicates_across_sides,
    groups_on_both_sides,
    labels_not_validated,
    split_of,
)
from nnunet_assets.core.splits.splits_files import read_splits_file, settings_version
from nnunet_assets.errors import ConfigError, DatasetError

CASES = ["a", "b", "c", "d", "e", "f"]
GOOD = [
    {"train": ["c", "d", "e", "f"], "val": ["a", "b"]},
    {"train": ["a", "b", "e", "f"], "val": ["c", "d"]},
    {"train": ["a", "b", "c", "d"], "val": ["e", "f"]},
]


TWICE = "nnU-Net would train the folds, and a mean over their cases would count these so often."


def good_but(fold: int, **parts: list[str]) -> list[dict[str, list[str]]]:
    """Returns the good splits of `CASES` with the parts of one fold replaced."""
    return [{**split, **(parts if index == fold else {})} for index, split in enumerate(GOOD)]


def test_a_fold_may_train_on_fewer_cases() -> None:
    splits = good_but(0, train=["c", "d"])
    assert check_splits(splits, CASES, 3) == splits


@pytest.mark.parametrize(
    ("splits", "problem"),
    [
        (GOOD[:2], "It has 2 folds instead of 3."),
        (
            good_but(0, train=["a", "c", "d", "e", "f"]),
            "fold_0 trains on cases that it validates: a. nnU-Net would train it with a warning in its log, and its "
            "dice would be too high.",
        ),
        (
            good_but(1, val=["c", "d", "x"]),
            "It names cases that the dataset does not have: x. nnU-Net would stop at the first that it reads.",
        ),
        (good_but(1, val=["c", "d", "e"], train=["a"]), f"These cases are validated more than once: e. {TWICE}"),
        (good_but(2, val=["e", "f", "f"]), f"These cases are validated more than once: f. {TWICE}"),
        (good_but(2, train=[]), "fold_2 has no case in 'train'."),
    ],
)
def test_splits_that_cannot_be_summarized(splits: Any, problem: str) -> None:
    with pytest.raises(DatasetError) as caught:
        check_splits(splits, CASES, 3)
    assert str(caught.value) == f"splits_final.json does not fit the dataset and its 3 folds:\n{problem}"


def test_the_split_of_another_dataset_is_said_to_be_one() -> None:
    with pytest.raises(
        DatasetError, match=r"does not have: a, b, c, d, e and 1 more\. It has none of the dataset's cases"
    ):
        check_splits(GOOD, ["u", "v", "w"], 3)


def test_cases_may_train_without_being_validated_and_may_be_left_out() -> None:
    splits = [{"train": ["c", "d"], "val": ["a"]}, {"train": ["a", "c"], "val": ["b"]}]
    assert check_splits(splits, CASES, 2) == splits
    covered = coverage(splits, CASES)
    assert (covered.validated, covered.training_only, covered.left_out) == (("a", "b"), ("c", "d"), ("e", "f"))
    assert covered.in_words() == (
        "A cross-validation of 2 of 6 cases, each validated once. In training alone: 2 cases (c, d); no fold validates "
        "them, and no score is of them. No fold names 2 cases (e, f); nnU-Net does not read them."
    )
    assert coverage(GOOD, CASES).in_words() == "A cross-validation of all 6 cases, each validated once."


def test_one_fold_is_a_hold_out() -> None:
    splits = [{"train": ["c", "d", "e", "f"], "val": ["a", "b"]}]
    assert check_splits(splits, CASES, 1) == splits
    assert coverage(splits, CASES).in_words() == (
        "A hold-out of 2 of 6 cases, each validated once. The fold trains on 4 cases (c, d, e, f)."
    )


@st.composite
def files(draw: Any) -> Any:
    """Draws a splits file of any cases in any folds, mostly one that could be summarized."""
    cases = draw(st.lists(st.sampled_from("abcdefghij"), min_size=2, unique=True))
    n_folds = draw(st.integers(1, 4))
    # A fold to validate in; as many as there are folds: in training alone; one more: left out.
    home = {case: draw(st.integers(0, n_folds + 1)) for case in cases}
    splits = [
        {
            "val": [case for case in cases if home[case] == fold],
            "train": [case for case in cases if home[case] not in (fold, n_folds + 1) and draw(st.booleans())],
        }
        for fold in range(n_folds)
    ]
    for part in draw(st.lists(st.sampled_from(["train", "val"]), max_size=1)):
        draw(st.sampled_from(splits))[part].append(draw(st.sampled_from([*cases, "unknown"])))
    return cases, splits


@given(files())
@settings(max_examples=500)
def test_a_split_is_refused_only_for_what_would_make_its_summary_wrong(drawn: Any) -> None:
    cases, splits = drawn
    validated = Counter(case for split in splits for case in split["val"])
    is_sound = (
        all(split["train"] and split["val"] for split in splits)
        and not any(set(split["train"]) & set(split["val"]) for split in splits)
        and "unknown" not in {case for split in splits for part in split.values() for case in part}
        and max(validated.values(), default=0) == 1
    )
    if not is_sound:
        with pytest.raises(DatasetError):
            check_splits(splits, cases, len(splits))
        return
    assert check_splits(splits, cases, len(splits)) == splits
    covered = coverage(splits, cases)
    assert sorted([*covered.validated, *covered.training_only, *covered.left_out]) == sorted(cases)
    assert set(covered.validated) == set(validated)
    assert covered.what == ("hold-out" if len(splits) == 1 else "cross-validation")


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        [[]],
        [{"train": ["a"]}],
        [{"train": "a", "val": "b"}],
        [{"train": [1], "val": []}],
        [{"train": ["\ud800"], "val": ["a"]}],
    ],
)
def test_a_file_of_another_form(content: dict[str, Any] | list[Any]) -> None:
    with pytest.raises(DatasetError, match=r"splits_final\.json is not a list of folds of the form"):
        check_splits(content, CASES, 3)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, r"There is no file .*mine\.json\. A relative path begins"),
        ("[{", r"mine\.json is not valid JSON"),
        ("{}", r"mine\.json is not a list of folds of the form"),
    ],
)
def test_a_file_of_the_users_own_that_is_none(tmp_path: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (tmp_path / "mine.json").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_splits_file(tmp_path / "mine.json")


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.integers(0, 3), min_size=1))
def test_each_case_trains_wherever_it_is_not_validated(validation: Any) -> None:
    splits = split_of(validation, 4)
    assert {case: index for index, split in enumerate(splits) for case in split["val"]} == validation
    assert all(sorted([*split["train"], *split["val"]]) == sorted(validation) for split in splits)
    assert Counter(case for split in splits for case in split["train"]) == Counter(dict.fromkeys(validation, 3))


def test_a_seed_of_zero_is_not_nnunets_seed() -> None:
    assert SplitSettings(3).record == {"folds": 3}
    assert SplitSettings(3, seed=0).record == {"folds": 3, "seed": 0}
    assert SplitSettings(3, seed=int("12345")).record == {"folds": 3}
    assert settings_version(SplitSettings(3, seed=0)) == "folds=3, seed=0"


# --- what a split guarantees --------------------------------------------------------------------------------------


def test_groups_on_both_sides_are_named_by_fold() -> None:
    together = {"a": "anna", "b": "anna", "c": "ben", "d": "ben", "e": "carl", "f": "dora"}
    assert groups_on_both_sides(GOOD, together) == []
    assert groups_on_both_sides(GOOD, {**together, "d": "carl"}) == [
        "fold_1 trains on groups that it validates: carl.",
        "fold_2 trains on groups that it validates: carl.",
    ]


def test_copies_on_both_sides_are_named_with_their_twins() -> None:
    hashes = {case: case for case in CASES}
    assert duplicates_across_sides(GOOD, {**hashes, "b": "a"}) == []  # both are validated by fold_0
    assert duplicates_across_sides(GOOD, {**hashes, "f": "a"}) == [
        "fold_0 validates copies of cases that it trains on: a and f.",
        "fold_2 validates copies of cases that it trains on: f and a.",
    ]
    assert duplicates_across_sides(GOOD, {}) == []  # nothing is known


def test_labels_that_a_fold_does_not_validate_are_named() -> None:
    volumes = {case: {"organ": 2.5, "lesion": 0.0, "cyst": 0.0} for case in CASES}
    volumes["c"] = {"organ": 1.0, "lesion": 0.1, "cyst": 0.0}
    assert labels_not_validated(GOOD, volumes) == {
        "lesion": ["fold_0", "fold_2"],
        "cyst": ["fold_0", "fold_1", "fold_2"],
    }
    assert labels_not_validated(GOOD, {}) == {}


# --- settings -----------------------------------------------------------------------------------------------------


def test_the_version_changes_with_the_settings_and_with_the_files_they_name(tmp_path: Path) -> None:
    table = GroupTable(tmp_path / "patients.csv", "case", "patient")
    table.path.write_text("case,patient\n")
    made = [
        SplitSettings(5),
        SplitSettings(5, seed=1),
        SplitSettings(5, stratify=True),
        SplitSettings(5, groups=table),
    ]
    versions = [settings_version(one) for one in made]
    assert versions[0] == "folds=5"
    table.path.write_text("case,patient\na,anna\n")
    assert len({*versions, settings_version(made[-1])}) == 5
