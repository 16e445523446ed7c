"""Configurations of plans: what each inherits, against nnU-Net's own reading; which there may be; which count."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.configurations import (
    extends_standard,
    lineage,
    next_stages,
    own_configurations,
    plans_digests,
    resolved,
    unknown_configuration,
    with_inherited,
    without_own,
)
from nnunet_assets.errors import PlanningError

PLANNED: dict[str, Any] = {
    "2d": {"batch_size": 12},
    "3d_fullres": {"batch_size": 2, "spacing": [1, 1, 1]},
    "3d_fullres_bs8": {"batch_size": 8, "inherits_from": "3d_fullres"},
    "big": {"patch_size": [9, 9, 9], "inherits_from": "3d_fullres_bs8"},
}
CONTENT = {"plans_name": "nnUNetPlans", "configurations": PLANNED}

NAMES = ("2d", "3d_fullres", "3d_fullres_bs8", "own", "a", "b", "c")
FIELDS = ("batch_size", "patch_size", "spacing", "data_identifier", "previous_stage", "next_stage")

plan = st.fixed_dictionaries(
    # nnU-Net takes plans without an architecture for those of an older version, and rewrites them.
    {"architecture": st.integers(0, 9)},
    optional={
        "inherits_from": st.sampled_from([*NAMES, "gone", None]),
        **{name: st.one_of(st.none(), st.integers(0, 9), st.lists(st.integers(0, 9), max_size=3)) for name in FIELDS},
    },
)
plans = st.dictionaries(st.sampled_from(NAMES), plan, min_size=1)


@given(plans)
@settings(max_examples=500, deadline=None)
def test_each_configuration_is_what_nnunet_reads_or_refused_where_nnunet_refuses(planned: Any) -> None:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    whole = resolved(planned, "plans.json")
    for name in planned:
        try:
            theirs = PlansManager({"configurations": planned}).get_configuration(name).configuration
        except (ValueError, RuntimeError):
            with pytest.raises(PlanningError, match=r"in a circle|which is not there"):
                with_inherited(planned, name, "plans.json")
            assert name not in whole
        else:
            assert with_inherited(planned, name, "plans.json") == theirs == whole[name]
            assert lineage(planned, name, "plans.json")[0] == name


def test_the_nearest_says_what_counts() -> None:
    assert lineage(PLANNED, "big", "plans.json") == ["big", "3d_fullres_bs8", "3d_fullres"]
    assert with_inherited(PLANNED, "big", "plans.json") == {
        "batch_size": 8,
        "spacing": [1, 1, 1],
        "patch_size": [9, 9, 9],
        "inherits_from": "3d_fullres_bs8",
    }
    assert with_inherited(PLANNED, "2d", "plans.json") == {"batch_size": 12}


def test_what_inherits_from_nothing_says_what_there_is() -> None:
    planned = {**PLANNED, "big": {"inherits_from": "3d_fullress"}, "odd": {"inherits_from": 3}}
    with pytest.raises(PlanningError, match=r"configuration big inherits .* Did you mean 3d_fullres\? Available: 2d"):
        with_inherited(planned, "big", "plans.json")
    with pytest.raises(PlanningError, match=r"odd inherits from 3, which is not there"):
        with_inherited(planned, "odd", "plans.json")
    assert list(resolved(planned, "plans.json")) == ["2d", "3d_fullres", "3d_fullres_bs8"]
    with pytest.raises(PlanningError, match=r"in a circle: a from b from a\. Correct"):
        lineage({"a": {"inherits_from": "b"}, "b": {"inherits_from": "a"}}, "a", "plans.json")


@pytest.mark.parametrize("name", ["2d", "3d_cascade_fullres", "3d_fullres_bs8", "2d_"])
def test_names_of_users_begin_with_one_of_nnunets(name: str) -> None:
    assert extends_standard(name)


@pytest.mark.parametrize("name", ["2dx", "fullres", "my_2d", ""])
def test_other_names_do_not(name: str) -> None:
    assert not extends_standard(name)


@pytest.mark.parametrize(
    ("configuration", "plans", "available"),
    [
        ("big", "nnUNetPlans", ["2d", "big"]),
        # Not planned yet: what nnU-Net makes, what extends it, and anything in plans of the user's own.
        ("3d_lowres", "nnUNetPlans", None),
        ("3d_fullres_bs8", "nnUNetPlans", None),
        ("anything", "myPlans", None),
        # Said when the cases are prepared, with the reason that the planner has.
        ("3d_lowres", "nnUNetPlans", ["2d"]),
    ],
)
def test_these_the_plans_have_or_may_get(configuration: str, plans: str, available: list[str] | None) -> None:
    assert unknown_configuration(configuration, plans, available, "plans.json") is None


def test_others_are_refused_with_what_there_is() -> None:
    assert unknown_configuration("bigg", "nnUNetPlans", ["2d", "big"], "plans.json") == (
        "bigg is not in plans.json. Did you mean big? Available: 2d, big."
    )
    assert unknown_configuration("anything", "myPlans", ["2d"], "plans.json") == (
        "anything is not in plans.json. Available: 2d."
    )
    refused = unknown_configuration("3d_fulres", "nnUNetPlans", None, "plans.json")
    assert refused is not None
    assert refused.startswith("3d_fulres is not allowed. Did you mean 3d_fullres? Allowed: 2d, 3d_fullres, 3d_lowres")


def test_what_the_planner_made_and_what_a_user_added_are_told_apart() -> None:
    assert without_own(CONTENT) == {
        "plans_name": "nnUNetPlans",
        "configurations": {name: PLANNED[name] for name in ("2d", "3d_fullres")},
    }
    assert list(own_configurations(CONTENT)) == ["3d_fullres_bs8", "big"]
    assert without_own({"plans_name": "x"}) == {"plans_name": "x"}
    assert own_configurations({"plans_name": "x"}) == {}


def test_a_configuration_that_is_added_changes_no_other_fold() -> None:
    fewer = {**CONTENT, "configurations": {name: PLANNED[name] for name in ("2d", "3d_fullres")}}
    for name in ("2d", "3d_fullres"):
        now, older = plans_digests(CONTENT, name, "plans.json")
        assert now == plans_digests(fewer, name, "plans.json")[0]
        assert older != plans_digests(fewer, name, "plans.json")[1]
    assert plans_digests(fewer, "2d", "plans.json")[0] == plans_digests(fewer, "2d", "plans.json")[1]


def test_a_fold_of_what_was_added_counts_all_that_it_inherits() -> None:
    wider = {**CONTENT, "configurations": {**PLANNED, "3d_fullres_bs8": {"inherits_from": "3d_fullres"}}}
    digests = [plans_digests(content, "big", "plans.json")[0] for content in (CONTENT, wider)]
    assert digests[0] != digests[1]
    assert plans_digests(CONTENT, "big", "plans.json")[0] == plans_digests(CONTENT, "big", "other.json")[0]
    # One that the plans do not have yet is trained with what the planner makes.
    assert plans_digests(CONTENT, "gone", "x")[0] == plans_digests(CONTENT, "2d", "x")[0]


@pytest.mark.parametrize(("stages", "names"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ("", [])])
def test_the_next_stage_is_a_name_or_a_list_of_them(stages: Any, names: list[str]) -> None:
    assert next_stages({"next_stage": stages}) == names
    assert next_stages({}) == []


@pytest.mark.parametrize(
    ("configurations", "sentence"),
    [
        (None, "`configurations` is None, no names with plans"),
        (["2d"], "`configurations` is ['2d'], no names with plans"),
        ("2d", "`configurations` is '2d', no names with plans"),
        ({"2d": None}, "the configuration 2d is None. Restore the file."),
        ({"2d": {}, "3d_fullres": [1], "big": [2]}, "the configuration 3d_fullres is [1]. Restore the file."),
    ],
)
def test_plans_of_another_form_are_told(configurations: Any, sentence: str) -> None:
    with pytest.raises(PlanningError) as caught:
        plans_digests({"configurations": configurations}, "2d", "/data/plans.json")
    assert f"In /data/plans.json {sentence}" in str(caught.value)
