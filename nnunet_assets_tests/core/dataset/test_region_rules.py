import re
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.dataset_json import check_description
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.core.dataset.region_rules import Regions, check_class_order, misread_values, right_order
from nnunet_assets_tests.raw_builders import tiny_json

NESTED = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enh": 3}


def problem(labels: dict[str, Any], order: list[int]) -> str:
    return findings_text(check_description(tiny_json(labels=labels, regions_class_order=order)))


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (NESTED, [1, 2, 3]),
        (NESTED | {"ignore": 4}, [1, 2, 3]),
        # The value of a region that others paint over whole does not count.
        ({"background": 0, "whole": [1, 2], "one": 1, "two": 2}, [2, 1, 2]),
        # Two that overlap, with a label for the overlap.
        ({"background": 0, "a": [1, 2], "b": [2, 3], "both": 2}, [1, 3, 2]),
        ({"background": 0, "body": [0, 1, 2], "organ": [1, 2], "lesion": [2]}, [0, 1, 2]),
        ({"background": 0, "left": [1, 3], "right": [2, 4]}, [1, 2]),
    ],
)
def test_an_order_that_gives_every_value_its_regions_back_is_right(labels: Any, order: list[int]) -> None:
    assert problem(labels, order) == ""


def test_the_reversed_order_is_named_value_by_value_with_the_right_one() -> None:
    assert problem(NESTED, [3, 2, 1]) == (
        "D013 regions_class_order is [3, 2, 1], for whole, core, enh in this order. So painted, a perfect prediction "
        "is scored as wrong: value 1 (whole) is painted as 3, which reads as whole, core, enh, value 3 (whole, core, "
        'enh) is painted as 1, which reads as whole. Write "regions_class_order": [1, 2, 3].'
    )


@pytest.mark.parametrize(
    ("labels", "order", "sentence"),
    [
        ({"background": 0, "core": [2, 3], "whole": [1, 2, 3]}, [2, 1], 'in this order, whole, core, and write "reg'),
        ({"background": 0, "a": [1, 2], "b": [2, 3]}, [1, 3], "No order of these regions can be read back"),
        ({"background": 0, "whole": [1, 2], "core": 2}, [1, 1], 'Write "regions_class_order": [1, 2].'),
        ({"background": 0, "body": [0, 1], "organ": 1}, [1, 0], 'Write "regions_class_order": [0, 1].'),
        ({"background": 0, "whole": [1, 2], "core": 2}, [1], 'Write "regions_class_order": [1, 2].'),
        ({"background": 0, "whole": [1, 2], "core": 2}, [1, 7], 'Write "regions_class_order": [1, 2].'),
    ],
)
def test_a_wrong_order_comes_with_the_way_to_a_right_one(
    labels: dict[str, Any], order: list[int], sentence: str
) -> None:
    text = problem(labels, order)
    assert text.startswith("D013 ")
    assert sentence in text


@pytest.mark.parametrize("labels", [{"background": 0}, {"background": 0, "ignore": 1}, {"background": "0"}])
def test_labels_without_anything_to_segment_are_an_error(labels: dict[str, Any]) -> None:
    assert "D036 labels declares nothing but background" in problem(labels, [])


label_sets = st.lists(st.frozensets(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=5)


@st.composite
def regions_and_order(draw: st.DrawFn) -> tuple[dict[str, frozenset[int]], list[int]]:
    sets = [values for values in draw(label_sets) if values != {0}] or [frozenset({1, 2})]
    known = sorted(set().union(*sets))
    order = draw(st.lists(st.sampled_from(known), min_size=len(sets), max_size=len(sets)))
    return {f"region {index}": values for index, values in enumerate(sets)}, order


@settings(max_examples=300, deadline=None)
@given(regions_and_order())
def test_an_order_passes_exactly_where_nnunet_reads_back_what_it_paints(drawn: Any) -> None:
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    regions, order = drawn
    labels = {name: sorted(values) for name, values in regions.items()}
    theirs = LabelManager({"background": 0, **labels, "two values": [98, 99]}, [*order, 98])
    values = sorted({0}.union(*regions.values()))
    is_covered = np.array([[[value in region for value in values]] for region in (*regions.values(), {98, 99})])
    painted = theirs.convert_logits_to_segmentation(np.where(is_covered, 10.0, -10.0).astype(np.float32))
    read_back = np.array([np.isin(painted, sorted(region)) for region in (*regions.values(), {98, 99})])
    differs = (read_back != is_covered).any(axis=(0, 1))
    assert [one.value for one in misread_values(regions, order)] == [
        value for value, wrong in zip(values, differs, strict=True) if wrong
    ]


@settings(max_examples=100, deadline=None)
@given(regions_and_order())
def test_where_there_is_a_right_order_it_is_found(drawn: Any) -> None:
    regions: Regions = drawn[0]
    known = sorted(set().union(*regions.values()))
    found = right_order(regions)
    if found is not None:
        assert misread_values(regions, found) == []
    elif len(regions) <= 3:
        orders = ([a, b, c][: len(regions)] for a in known for b in known for c in known)
        assert all(misread_values(regions, order) for order in orders)


def test_only_one_order_of_nested_regions_is_right() -> None:
    labels = {name: values for name, values in NESTED.items() if name != "background"}
    regions = {name: frozenset(v if isinstance(v, list) else [v]) for name, v in labels.items()}
    assert [order for order in permutations((1, 2, 3)) if not misread_values(regions, order)] == [(1, 2, 3)]


def test_an_order_takes_the_least_value_that_will_do() -> None:
    assert right_order({"a": frozenset({1, 2}), "b": frozenset({4, 3})}) == [1, 3]
    assert right_order({"a": frozenset({1, 2}), "b": frozenset({1, 2, 3})}) is None
    assert right_order({"none": frozenset(), "a": frozenset({1})}) == [0, 1]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (None, "regions_class_order is None. It must list, for whole, core in this order"),
        ((1, 2), r"regions_class_order is \(1, 2\)\. It must list"),
        ([1], r"regions_class_order is \[1\]; it needs 2 numbers, one for each of whole, core, out of 1, 2\."),
        ([1, 2, 2], "it needs 2 numbers"),
        ([1, 3], "it needs 2 numbers"),
        ([1, 2.0], "it needs 2 numbers"),
        ([True, 2], "it needs 2 numbers"),
        ([2, 1], r"for whole, core in this order\. So painted, a perfect prediction is scored as wrong"),
    ],
)
def test_an_order_that_paints_no_perfect_prediction_is_said_once(order: object, said: str) -> None:
    regions: Regions = {"whole": frozenset({1, 2}), "core": frozenset({2})}
    (sentence,) = check_class_order(regions, order)
    assert re.search(said, sentence), sentence
    assert list(check_class_order(regions, [1, 2])) == []
