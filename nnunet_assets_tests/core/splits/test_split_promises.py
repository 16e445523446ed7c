"""What a split promises, and how it is said where it does not keep it."""

from collections.abc import Mapping

import pytest

from nnunet_assets.core.splits.split_promises import SplitPromise, labels_promise, split_promises

CROSSED = [{"train": ["b"], "val": ["a"]}, {"train": ["a"], "val": ["b"]}]
BOTH = {"a": {"organ": 1.0}, "b": {"organ": 1.0}}


def promises(
    found: object = CROSSED,
    hashes: Mapping[str, str] = {"a": "1", "b": "2"},
    groups: Mapping[str, str] | None = None,
) -> dict[str, SplitPromise]:
    made = split_promises(found, ["a", "b"], 2, image_hashes=hashes, label_volumes_ml=BOTH, groups=groups)
    return {promise.name: promise for promise in made}


def test_a_split_that_keeps_all_says_so() -> None:
    found = promises(groups={"a": "anna", "b": "ben"})
    assert {name: (promise.problems, promise.is_grave) for name, promise in found.items()} == {
        "each_case_is_validated_once": ([], True),
        "no_copy_on_both_sides": ([], True),
        "each_label_in_each_validation": ([], False),
        "no_group_on_both_sides": ([], True),
    }
    assert found["no_group_on_both_sides"].sentence == "2 groups, each on one side."
    assert found["no_copy_on_both_sides"].sentence == "No case has a copy on the other side."
    assert found["each_label_in_each_validation"].sentence == "Each label is in each validation fold."


def test_nothing_is_promised_of_groups_that_nobody_declared() -> None:
    assert "no_group_on_both_sides" not in promises()


def test_a_copy_on_the_other_side_is_named_with_what_to_do() -> None:
    problems = promises(hashes={"a": "1", "b": "1"})["no_copy_on_both_sides"].problems
    assert problems[-1] == "Take one of each pair out of the dataset, or keep them together with `splits.groups`."
    assert "fold_0" in problems[0]


def test_a_group_on_both_sides_is_named() -> None:
    (first, second) = promises(groups={"a": "anna", "b": "anna"})["no_group_on_both_sides"].problems
    assert ("fold_0" in first, "fold_1" in second) == (True, True)


def test_of_a_file_that_does_not_fit_the_cases_nothing_more_is_known() -> None:
    found = promises([{"train": ["b"], "val": ["z"]}], groups={})
    assert "z" in found["each_case_is_validated_once"].sentence
    assert {promise.sentence for name, promise in found.items() if name != "each_case_is_validated_once"} == {
        "The file does not fit the cases."
    }


@pytest.mark.parametrize(("organ_ml", "is_grave"), [(1.0, False), (0.0, True)])
def test_a_label_that_a_fold_does_not_validate_is_grave_only_where_it_validates_none(
    organ_ml: float, is_grave: bool
) -> None:
    volumes = {"a": {"organ": 1.0, "lesion": 1.0}, "b": {"organ": organ_ml, "lesion": 0.0}}
    found = labels_promise(CROSSED, volumes)
    assert (found.is_grave, found.details["lesion"]) == (is_grave, ["fold_1"])
    assert "'lesion' is in no validation case of fold_1." in found.problems
    assert ("No validation case of fold_1 has any label at all." in found.sentence) is is_grave
    assert found.problems[-1].endswith("`splits: {stratify: true}` spreads labels where there are enough.")


def test_labels_that_were_not_read_are_unknown_and_no_problem() -> None:
    assert labels_promise(CROSSED, {}) == SplitPromise(
        "each_label_in_each_validation", [], "Unknown: the labels were not read.", is_grave=False
    )
