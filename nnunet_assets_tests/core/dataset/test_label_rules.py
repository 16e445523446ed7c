"""What of the labels of a dataset.json nnU-Net would stumble over, each with the way to put it right."""

import json
from typing import Any

import pytest

from nnunet_assets.core.dataset.label_rules import check_labels, label_value, naming_problem, region_values


def problem(labels: Any, order: Any = None) -> str:
    """Returns all that is found wrong, a line each."""
    return "\n".join(f"{code} {message}" for code, message in check_labels(labels, order))


def named(**labels: Any) -> str:
    return problem({"background": 0, **labels})


@pytest.mark.parametrize("value", [0, 1, 65535, "0", "1", "65535", "00001"])
def test_a_label_value_is_a_whole_number_or_its_digits(value: int | str) -> None:
    assert label_value(value) == int(value)


@pytest.mark.parametrize("value", [-1, 65536, "65536", "000001", "-1", "1.0", "", " 1", 1.0, True, None, [1]])
def test_anything_else_is_none(value: Any) -> None:
    assert label_value(value) is None


def test_a_label_stands_for_one_value_or_several() -> None:
    assert region_values(3) == (3,)
    assert region_values([1, "2", "x", 3]) == (1, 2, 3)
    assert region_values(None) == ()


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "organ": 1, "lesion": 2}, None),
        ({"background": 0, "organ": [1], "ignore": 2}, None),
        ({"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, [1, 2]),
        # What is annotated as background or as nothing at all comes last.
        ({"organ": 1, "background": 0, "ignore": 2}, None),
    ],
)
def test_nothing_is_wrong_with_these(labels: dict[str, Any], order: list[int] | None) -> None:
    assert problem(labels, order) == ""


def test_inverted_labels_are_shown_the_right_way_round() -> None:
    text = problem({"0": "background", "1": "organ"})
    assert text == 'D007 labels is inverted: it must map names to values. Write {"background": 0, "organ": 1}.'


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({}, "D008 labels is {}; write"),
        ([0, 1], "D008 labels is [0, 1]; write"),
        ({"organ": 1}, "D008 labels has no 'background'; add"),
        ({"Background": 0, "organ": 1}, "D008 labels has no 'background'; it has 'Background', which must be in small"),
        ({"background": 1, "organ": 2}, "D009 labels has background as 1; nnU-Net needs it to be 0."),
        ({"background": [0], "organ": 1}, "D009 labels has background as [0]; nnU-Net needs it to be 0."),
    ],
)
def test_the_background_must_be_there_and_be_0(labels: dict[str, Any] | list[int], sentence: str) -> None:
    assert problem(labels).startswith(sentence)


def test_a_gap_in_the_values_is_named_with_the_way_to_close_it() -> None:
    assert named(a=1, b=3, c=4) == (
        "D010 labels has the values 0, 1, 3, 4 without 2; nnU-Net needs them from 0 up without gaps. "
        "Renumber 3 to 2, 4 to 3, in dataset.json and in the label images."
    )


@pytest.mark.parametrize("value", [1.0, 1.5, "one", True, -1, None, {}, [], [1.5], 65536, "1_0", "²"])
def test_a_value_that_is_no_whole_number_is_named(value: Any) -> None:
    assert f"D012 labels has values that are no whole numbers from 0 to 65535: organ: {json.dumps(value)}." in (
        named(organ=value)
    )


def test_regions_need_a_class_order() -> None:
    text = named(whole=[1, 2], core=2)
    assert text.startswith("D013 labels has regions (several values under one name), but regions_class_order is None.")
    assert "for whole, core in this order" in text


@pytest.mark.parametrize("order", [[1], [1, 2, 3], [1, 5], ["1", "2"], [0, 1]])
def test_a_class_order_must_have_one_known_value_for_each_region(order: list[Any]) -> None:
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    text = problem(labels, order)
    assert text == (
        f"D013 regions_class_order is {order}; it needs 2 numbers, one for each of whole, core, out of 1, 2. "
        'Write "regions_class_order": [1, 2].'
    )


def test_regions_as_text_are_refused_since_nnunet_would_match_nothing() -> None:
    labels = {"background": 0, "whole": ["1", "2"], "core": 2}
    assert problem(labels, [1, 2]).startswith("D012 labels with regions must not be text: whole.")


@pytest.mark.parametrize("ignore", [0, 1, 3, "2", [2]])
def test_the_ignore_label_must_be_the_highest(ignore: int | str | list[int]) -> None:
    text = named(organ=1, ignore=ignore)
    assert (
        f"D014 labels has ignore as {json.dumps(ignore)}; it must be the number after the highest other label, 2."
        in text
    )


@pytest.mark.parametrize(("ignore", "is_refused"), [(1, False), (0, True), (2, True)])
def test_an_ignore_label_alone_comes_after_the_background_that_is_missing(ignore: int, is_refused: bool) -> None:
    assert ("D014" in problem({"ignore": ignore})) is is_refused


def test_two_labels_of_one_value_are_named() -> None:
    assert named(a=1, b=1, c=2) == "D015 labels 'a', 'b' share the value 1; each label needs one of its own."


def test_what_leaves_no_label_to_segment_is_named() -> None:
    assert named(ignore=1) == (
        "D036 labels declares nothing but background and ignore: there is no label to segment. Add what is to be "
        'segmented, such as "tumour": 1.'
    )


def test_a_gap_before_the_ignore_label_is_one_of_the_other_labels_alone() -> None:
    assert named(a=2, ignore=3).startswith("D010 labels has the values 0, 2 without 1;")


def test_a_gap_from_0_has_no_way_to_close_it_but_the_background() -> None:
    text = problem({"a": 2, "b": 1})
    assert (
        text.splitlines()[1] == "D010 labels has the values 1, 2 without 0; nnU-Net needs them from 0 up without gaps."
    )


def test_values_as_text_are_told_where_there_are_no_regions() -> None:
    assert named(a="1", b=2) == "D011 labels has values written as text, read as numbers: a: '1'."
    assert named(a=["1"], b=2) == ""


def test_an_ignore_label_as_text_is_refused_and_shares_no_value() -> None:
    assert named(a=1, ignore="2").startswith('D014 labels has ignore as "2"; it must be the number after')
    assert named(a=1, ignore=1).splitlines()[0].startswith("D015 labels 'a', 'ignore' share the value 1;")


def test_two_regions_of_the_same_values_are_named_with_all_of_them() -> None:
    text = problem({"background": 0, "a": [2, 1], "b": [1, 2]}, [1, 2])
    assert text.startswith("D015 labels 'a', 'b' share the value 1, 2; each label needs one of its own.")


def test_the_class_order_is_looked_at_where_every_region_has_values() -> None:
    text = problem({"background": 0, "whole": [1, 2], "core": 2.5}, None)
    assert text.startswith("D012 labels has values that are no whole numbers from 0 to 65535: core: 2.5.")
    assert "D013" not in text


def test_very_many_labels_are_named() -> None:
    labels = {"background": 0, **{f"part {value}": value for value in range(1, 301)}}
    assert problem(labels).startswith(
        "D070 labels go up to 300. nnU-Net holds a map of the image's size in memory for each"
    )
    few = {"background": 0, **{f"part {value}": value for value in range(1, 256)}}
    assert problem(few) == ""


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"labels": {"background": 0, "whole": [1, 2], "core": "2"}, "file_ending": ".nii.gz"}, None),
        ([], "it holds no object"),
        ({"labels": {"background": 0}}, "file_ending is None"),
        ({"labels": ["background"], "file_ending": ".nii.gz"}, "labels is ['background']"),
        ({"labels": {"background": "x"}, "file_ending": ".nii.gz"}, "labels is {'background': 'x'}"),
    ],
)
def test_what_keeps_a_description_from_naming_scores(content: object, problem: str | None) -> None:
    assert naming_problem(content) == problem
