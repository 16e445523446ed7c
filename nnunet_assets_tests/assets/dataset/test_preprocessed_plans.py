from dataclasses import replace

import dagster as dg

from nnunet_assets.assets.dataset.preprocessed_plans import _check, _metadata
from nnunet_assets.nnunet.preparation.planning import PreparedCases, PreparedPlans
from nnunet_assets_tests.prepared_builders import plans_content

MADE = PreparedPlans(
    plans_hash="0123",
    configurations=("2d", "3d_fullres"),
    dropped={},
    planned=plans_content()["configurations"],
    cases={
        "2d": PreparedCases(n_made=0, n_reused=51, n_bytes=2_500_000, why=""),
        "3d_fullres": PreparedCases(n_made=1, n_reused=50, n_bytes=5_000_000, why="1 case is new (case_051)"),
    },
    made=("plans", "3d_fullres"),
    gpu_memory_gb={"target": 8.0, "3d_fullres": 6.25},
    is_verified=True,
)


def test_the_card_tells_what_was_decided_and_how_much_was_made() -> None:
    metadata = _metadata(MADE)
    table = metadata["configurations"]
    assert isinstance(table, dg.TableMetadataValue)
    rows = {record.data["configuration"]: record.data for record in table.records}
    assert rows["3d_fullres"]["spacing (mm)"] == "3 x 1 x 1"
    assert rows["3d_fullres"]["GPU memory (GB, planner's estimate)"] == 6.25
    assert rows["2d"]["GPU memory (GB, planner's estimate)"] is None
    assert [rows["3d_fullres"][name] for name in ("cases", "preprocessed now", "size (MB)")] == [51, 1, 5.0]
    values = {name: value.value for name, value in metadata.items() if name != "configurations"}
    assert values == {
        "made_now": "plans, 3d_fullres",
        "why": "- 3d_fullres: 1 case is new (case_051)",
        "cases_preprocessed": 1,
        "cases_reused": 101,
        "gpu_memory_target_gb": 8.0,
        "nnunet_integrity_check": "agrees",
        "plans_hash": "0123",
    }


def test_a_configuration_that_the_planner_dropped_fails_the_check_with_its_reason() -> None:
    assert _check(MADE, "nnUNetPlans").passed
    reason = "The images are 2D."
    failed = _check(replace(MADE, dropped={"3d_lowres": reason, "3d_cascade_fullres": reason}), "nnUNetPlans")
    assert not failed.passed
    assert failed.description == (
        "The plans nnUNetPlans do not have 3d_lowres, 3d_cascade_fullres. The images are 2D. Take the experiments that "
        "want it out of the YAML."
    )
