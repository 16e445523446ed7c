"""Derived plans; what a network can take is asked of nnU-Net's own."""

import copy
import math
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.configurations import resolved
from nnunet_assets.core.dataset.plan_sizes import DERIVED_FROM, PlanSizes, pooled_by
from nnunet_assets_tests.nnunet.trainer.test_parameters import CONFIGURATION, PLANS

STRIDES = [[[1, 1, 1], [2, 2, 2], [2, 2, 2]], [[1, 1, 1], [1, 2, 2], [2, 2, 2]], [[1, 1, 1], [1, 3, 2], [1, 1, 1]]]


def planned(strides: Any = STRIDES[0], **changes: Any) -> dict[str, Any]:
    plan: dict[str, Any] = copy.deepcopy({**CONFIGURATION, **changes})
    plan["architecture"]["arch_kwargs"]["strides"] = strides
    return plan


@cache
def nnunets_network(which: int) -> Any:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    network = planned(STRIDES[which])["architecture"]
    names = (network["network_class_name"], network["arch_kwargs"], network["_kw_requires_import"])
    return get_network_from_plans(*names, 1, 3, allow_init=False, deep_supervision=True)


def nnunet_trains(which: int, patch: tuple[int, ...]) -> bool:
    """Says whether nnU-Net's network takes a patch in training, and answers in its size."""
    import torch

    try:
        with torch.no_grad():
            found = nnunets_network(which)(torch.zeros(1, 1, *patch))
    except (RuntimeError, ValueError):
        return False
    return bool(found[0].shape[2:] == patch)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, len(STRIDES) - 1), st.tuples(*[st.integers(1, 8)] * 3))
def test_a_patch_is_refused_where_nnunets_network_cannot_take_it(which: int, patch: tuple[int, ...]) -> None:
    problem = PlanSizes(patch_size=patch).problem_with("3d_fullres", planned(STRIDES[which]))

    assert (problem is None) == nnunet_trains(which, patch)


@settings(max_examples=40)
@given(st.sampled_from(STRIDES), st.tuples(*[st.integers(1, 300)] * 3))
def test_what_a_refusal_recommends_would_do(strides: list[list[int]], patch: tuple[int, ...]) -> None:
    problem = PlanSizes(patch_size=patch).problem_with("3d_fullres", planned(strides))
    if problem is None:
        assert all(size % factor == 0 for size, factor in zip(patch, pooled_by(planned(strides)) or (), strict=True))
        return
    near = tuple(map(int, problem.removesuffix(" would do.").rpartition(" ")[2].split("x")))
    assert PlanSizes(patch_size=near).problem_with("3d_fullres", planned(strides)) is None


@pytest.mark.parametrize(
    ("configuration", "patch", "problem"),
    [
        ("2d", (64, 64, 64), "patch_size is 64x64x64, and 2d has 2 axes. Give 2 numbers (y, x)."),
        ("3d_fullres", (64, 64), "patch_size is 64x64, and 3d_fullres has 3 axes. Give 3 numbers (z, y, x)."),
        ("3d_fullres_small", (64, 64), "patch_size is 64x64, and 3d_fullres_small has 3 axes."),
        ("2d", (63, 65), None),
        ("2dim", (64, 64, 64), None),
    ],
)
def test_before_anything_is_planned_the_name_says_how_many_axes_there_are(
    configuration: str, patch: tuple[int, ...], problem: str | None
) -> None:
    found = PlanSizes(patch_size=patch).problem_with(configuration, None)

    assert found is None if problem is None else str(found).startswith(problem)


def test_a_refusal_names_the_axis_and_its_factor() -> None:
    problem = PlanSizes(patch_size=(16, 18, 12)).problem_with("3d_fullres", planned(STRIDES[0]))

    assert problem == (
        "patch_size is 16x18x12. The network of 3d_fullres makes a patch 4x4x4 times smaller, and 18 is no multiple of "
        "4. 16x16x12 would do."
    )


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        (PlanSizes(), "nnUNetPlans"),
        (PlanSizes(8), "nnUNetPlans_bs8"),
        (PlanSizes(patch_size=(64, 32)), "nnUNetPlans_ps64x32"),
        (PlanSizes(8, (64, 32, 16)), "nnUNetPlans_bs8_ps64x32x16"),
    ],
)
def test_the_name_says_what_is_changed_and_is_read_back(sizes: PlanSizes, name: str) -> None:
    assert sizes.plans_name("nnUNetPlans") == name
    assert PlanSizes.named(name, "nnUNetPlans") == sizes
    assert not PlanSizes.named(name, "nnUNet")
    assert bool(sizes) == (name != "nnUNetPlans")


def test_derived_plans_have_the_configurations_that_fit_each_whole_and_share_the_cases() -> None:
    content = {
        **PLANS,
        "configurations": {
            "2d": planned(patch_size=[16, 16], data_identifier="nnUNetPlans_2d"),
            "3d_lowres": planned(data_identifier="low", next_stage=["3d_cascade_fullres", "odd"]),
            "3d_fullres": planned(),
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
            "odd": {"inherits_from": "3d_fullres", "architecture": planned([[1, 1, 1], [5, 5, 5]])["architecture"]},
            "lost": {"inherits_from": "nowhere"},
        },
    }

    derived = PlanSizes(4, (8, 8, 16)).derived(content, "plans.json")

    assert (derived["plans_name"], derived[DERIVED_FROM]) == ("nnUNetPlans_bs4_ps8x8x16", "nnUNetPlans")
    found = derived["configurations"]
    assert list(found) == ["3d_lowres", "3d_fullres", "3d_cascade_fullres"]
    assert found == resolved(found, "plans.json")
    assert {(one["batch_size"], *one["patch_size"]) for one in found.values()} == {(4, 8, 8, 16)}
    assert [one["data_identifier"] for one in found.values()] == ["low", *["nnUNetPlans_3d_fullres"] * 2]
    assert found["3d_lowres"]["next_stage"] == "3d_cascade_fullres"
    assert found["3d_cascade_fullres"]["previous_stage"] == "3d_lowres"
    rest = {key: value for key, value in found["3d_fullres"].items() if key not in ("batch_size", "patch_size")}
    assert rest == {key: value for key, value in CONFIGURATION.items() if key in rest}
    assert "next_stage" not in PlanSizes(4, (8, 8, 12)).derived(content, "plans.json")["configurations"]["3d_fullres"]


def test_a_network_that_does_not_say_how_it_pools_is_nnunets_to_refuse() -> None:
    plan = planned()
    plan["architecture"]["arch_kwargs"]["strides"] = "by itself"

    assert pooled_by(plan) is None
    assert PlanSizes(patch_size=(7, 7, 7)).problem_with("3d_fullres", plan) is None
    assert math.prod(pooled_by(planned([1, 2, 2])) or ()) == 64
