"""Configurations that inherit, against nnU-Net's own reading of the same plans."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.configurations import lineage, resolved, with_inherited
from nnunet_assets.errors import PlanningError

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
