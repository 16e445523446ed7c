import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.dataset.intake import CaseRow
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.preparation.patch_padding import padding, padding_findings, padding_of
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder

IN_ORDER = [0, 1, 2]
PLAN = {"patch_size": [64, 96, 96], "spacing": [2.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("plan", "sizes", "transpose", "found"),
    [
        (PLAN, [([20, 40, 50], [2, 1, 1]), ([30, 40, 50], [4, 1, 1])], IN_ORDER, ((64, 96, 96), (60, 40, 50))),
        (PLAN, [([20, 40, 50], [2, 1, 1]), ([33, 40, 50], [4, 1, 1])], IN_ORDER, None),
        (PLAN, [([64, 96, 96], [2, 1, 1]), ([9, 9, 9], [2, 1, 1])], IN_ORDER, None),
        (PLAN, [([20, 96, 96], [2, 1, 1])], IN_ORDER, ((64, 96, 96), (20, 96, 96))),
        (PLAN, [([40, 50, 20], [1, 1, 2])], [2, 0, 1], ((64, 96, 96), (20, 40, 50))),
        ({"patch_size": [96, 96], "spacing": [1.0, 1.0]}, [([500, 40, 50], [2, 1, 1])], IN_ORDER, ((96, 96), (40, 50))),
        (
            {"patch_size": [96, 96], "spacing": [1.0, 1.0]},
            [([40, 50, 500], [1, 1, 2])],
            [2, 0, 1],
            ((96, 96), (40, 50)),
        ),
        (PLAN, [], IN_ORDER, None),
        (PLAN, [([20, 40, 50], [2, 1, 1])], (), None),
        ({**PLAN, "patch_size": ["64", 96, 96]}, [([20, 40, 50], [2, 1, 1])], IN_ORDER, None),
        ({**PLAN, "spacing": [2.0, 0, 1.0]}, [([20, 40, 50], [2, 1, 1])], IN_ORDER, None),
        ({"inherits_from": "3d_fullres"}, [([20, 40, 50], [2, 1, 1])], IN_ORDER, None),
    ],
)
def test_a_patch_that_every_case_is_smaller_than_is_found_with_the_largest_case(
    plan: Any, sizes: list[Any], transpose: Any, found: tuple[Any, ...] | None
) -> None:
    assert padding_of(plan, sizes, transpose) == found


@pytest.fixture
def prepared(tmp_path: Path) -> Any:
    prepared = PreparedFolder(Roots(tmp_path / "raw", tmp_path, tmp_path / "results"), "Dataset001_A")
    prepared.folder.mkdir()
    plans = {
        "transpose_forward": IN_ORDER,
        "configurations": {"3d_fullres": PLAN, "small": {"inherits_from": "3d_fullres", "patch_size": [24, 48, 48]}},
    }
    (prepared.folder / "nnUNetPlans.json").write_text(json.dumps(plans))
    fingerprint = {"shapes_after_crop": [[20, 40, 40], [22, 44, 44]], "spacings": [[2, 1, 1]] * 2}
    (prepared.folder / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    return prepared


def test_the_numbers_are_said_and_whether_rounding_explains_them(prepared: Any) -> None:
    assert str(padding(prepared, prepared.plans("nnUNetPlans"), "3d_fullres")).startswith(
        "Each of 2 cases is smaller than the patch of nnUNetPlans, 3d_fullres (64 x 96 x 96 voxels): the largest has "
        "22 x 44 x 44 at its spacing and fills 7%, the rest is padding. nnU-Net's planner rounds up by less."
    )
    assert "fills 77%" in str(padding(prepared, prepared.plans("nnUNetPlans"), "small"))
    assert "rounding the patch up" in str(padding(prepared, prepared.plans("nnUNetPlans"), "small"))


def _row(case: Any, shape: Any, spacing_mm: Any) -> Any:
    return CaseRow(case, shape, spacing_mm, (), {}, {}, ())


def test_the_check_warns_of_plans_whose_patch_is_mostly_padding_and_of_no_other(prepared: Any) -> None:
    rows = [_row("a", (40, 40, 20), (1.0, 1.0, 2.0)), _row("b", (44, 44, 22), (1.0, 1.0, 2.0))]

    (found,) = padding_findings(prepared, rows)

    assert (found.code, found.severity) == ("D071", "warning")
    assert "3d_fullres (64 x 96 x 96 voxels)" in found.message


def test_without_every_case_or_without_plans_the_check_says_nothing(prepared: Any) -> None:
    rows = [_row("a", (40, 40, 20), (1.0, 1.0, 2.0)), _row("b", None, None)]

    assert padding_findings(prepared, rows) == []
    (prepared.folder / "nnUNetPlans.json").unlink()
    assert padding_findings(prepared, rows[:1]) == []


def test_a_single_slice_is_compared_in_two_axes(prepared: Any) -> None:
    plans = {"transpose_forward": IN_ORDER, "configurations": {"2d": {"patch_size": [96, 96], "spacing": [1.0, 1.0]}}}
    (prepared.folder / "nnUNetPlans.json").write_text(json.dumps(plans))

    assert len(padding_findings(prepared, [_row("a", (40, 50), (1.0, 1.0))])) == 1
    assert padding_findings(prepared, [_row("a", (40, 100), (1.0, 1.0))]) == []
