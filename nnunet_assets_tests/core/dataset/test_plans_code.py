"""Every word of plans that nnU-Net takes for code is found, wherever it stands."""

from copy import deepcopy
from typing import Any

import pytest

from nnunet_assets.core.dataset.plans_code import CodeName, WrongForm, code_in_dataset_json, code_in_plans, shortened
from nnunet_assets_tests.hostile_code import PLACES, PLANS, hostile_plans


@pytest.mark.parametrize("place", PLACES)
def test_a_word_is_found_in_each_place_where_nnunet_takes_one_for_code(place: Any) -> None:
    key = place.removesuffix(", unlisted")
    found = [entry for entry in code_in_plans(hostile_plans(place, "planted")) if entry.key.endswith(key)]
    assert [entry.value for entry in found if isinstance(entry, CodeName)] == ["planted"]


def test_plans_of_nnunet_have_the_form_that_it_writes() -> None:
    assert not [entry for entry in code_in_plans(PLANS) if isinstance(entry, WrongForm)]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ([], [], "the file is a list, no object"),
        (["configurations"], ["3d_fullres"], "configurations is a list, no object"),
        (["configurations", "3d_fullres"], 3, "configurations.3d_fullres is 3, no object"),
        (["configurations", "3d_fullres", "architecture"], "unet", "3d_fullres.architecture is 'unet', no object"),
        (["configurations", "3d_fullres", "normalization_schemes"], "Z", "normalization_schemes is 'Z', no list"),
        (["configurations", "3d_fullres", "architecture", "arch_kwargs"], None, "arch_kwargs is None, no object"),
        (["configurations", "3d_fullres", "architecture", "_kw_requires_import"], "conv_op", "is no list of names"),
        (["configurations", "3d_fullres", "architecture", "_kw_requires_import"], [["conv_op"]], "is no list of names"),
        (["configurations", "3d_fullres", "data_identifier"], "../../x", "data_identifier is '../../x', no name"),
        (["configurations", "3d_fullres", "data_identifier"], "/etc", "data_identifier is '/etc', no name"),
        (["configurations", "3d_fullres", "data_identifier"], ["a"], "data_identifier is a list, no name of a folder"),
        (["dataset_name"], "../Dataset001_Other", "dataset_name is '../Dataset001_Other', no name of a folder"),
        (["plans_name"], 7, "plans_name is 7, no name of a folder"),
    ],
)
def test_a_value_of_another_form_than_nnunets_is_named_with_its_key(
    path: list[Any], value: int | str | list[Any] | None, problem: str
) -> None:
    plans: Any = deepcopy(PLANS)
    if not path:
        plans = value
    else:
        place = plans
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
    [wrong] = [entry for entry in code_in_plans(plans) if isinstance(entry, WrongForm)]
    assert problem in f"{wrong.key} {wrong.problem}"


@pytest.mark.parametrize("none", [{}, {"overwrite_image_reader_writer": "None"}])
def test_a_dataset_json_that_names_no_reader_names_no_code(none: dict[str, Any]) -> None:
    assert not list(code_in_dataset_json(none))


def test_the_reader_of_a_dataset_json_is_code() -> None:
    assert list(code_in_dataset_json({"overwrite_image_reader_writer": "os"})) == [
        CodeName("reader", "overwrite_image_reader_writer", "os")
    ]


def test_of_a_long_value_the_beginning_is_quoted() -> None:
    whole, longer = "x" * 78, "x" * 79  # with its quotes 80 and 81
    assert (shortened(whole), shortened(longer)) == (f"'{whole}'", f"'{longer}...")
    others: list[Any] = [1.5, None, ["a"], {}]
    assert [shortened(value) for value in others] == ["1.5", "None", "a list", "a dict"]


@pytest.mark.parametrize(
    ("kind", "value", "is_name"),
    [
        ("network", "torch.nn.Conv2d", True),
        ("network", "Conv2d", True),
        ("reader", "SimpleITKIO", True),
        # What is no network's class lies where nnU-Net looks for it by its bare name.
        ("reader", "os.system", False),
        ("network", "torch..nn", False),
        ("network", "2d", False),
        ("reader", "Reäder", False),
        ("reader", None, False),
    ],
)
def test_only_a_network_is_named_with_dots(kind: Any, value: Any, is_name: bool) -> None:
    assert CodeName(kind, "key", value).is_name == is_name
