from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.nnunet.preparation.case_sizes import (
    PROCESS_BYTES,
    fitting_processes,
    largest_case_bytes,
    least_saved_bytes,
    planned_voxels,
    target_spacing,
    unplanned_voxels,
    usual_saved_bytes,
)

GIB = 1024**3
PLANS = {"transpose_forward": [2, 0, 1]}


def fingerprint(*, n_channels: int = 1, kept: float = 1.0) -> Any:
    return {
        "shapes_after_crop": [[100, 100, 10], [50, 60, 10]],
        "spacings": [[1.0, 1.0, 4.0], [1.0, 1.0, 2.0]],
        "foreground_intensity_properties_per_channel": {str(channel): {} for channel in range(n_channels)},
        "median_relative_size_after_cropping": kept,
    }


@pytest.mark.parametrize(
    ("spacing", "n_voxels"),
    [
        ([4.0, 1.0, 1.0], 100_000),  # as it is
        ([8.0, 2.0, 2.0], 100_000),  # it is read before it shrinks
        ([2.0, 1.0, 1.0], 200_000),  # axis 2 of the file is the first one of the plans
        ([2.0, 0.5, 1.0], 400_000),
        ([0.5, 0.5], 400_000),  # 2D: slices stay as they are
    ],
)
def test_the_larger_of_what_is_read_and_what_is_made_of_it_counts(spacing: list[float], n_voxels: int) -> None:
    assert largest_case_bytes(fingerprint(), PLANS, {"spacing": spacing}) == n_voxels * 58


def test_channels_and_what_is_cropped_count() -> None:
    plan = {"spacing": [4.0, 1.0, 1.0]}
    assert largest_case_bytes(fingerprint(n_channels=4), PLANS, plan) == 100_000 * (50 + 4 * 8)
    assert largest_case_bytes(fingerprint(kept=0.5), PLANS, plan) == 200_000 * 58


def test_what_is_saved_counts_every_voxel_that_is_made_and_every_channel() -> None:
    assert least_saved_bytes(fingerprint(), PLANS, {"spacing": [4.0, 1.0, 1.0]}) == (100_000 + 15_000) // 4
    assert least_saved_bytes(fingerprint(n_channels=2), PLANS, {"spacing": [4.0, 1.0, 2.0]}) == (50_000 + 7_500) // 2


def test_as_many_processes_as_fit_and_never_none() -> None:
    assert fitting_processes(10 * GIB, GIB - PROCESS_BYTES) == 10
    assert fitting_processes(10 * GIB - 1, GIB - PROCESS_BYTES) == 9
    assert fitting_processes(0, 100 * GIB) == 1


def test_voxels_of_a_planned_configuration_are_those_of_its_spacing() -> None:
    assert planned_voxels(fingerprint(), PLANS, {"spacing": [4.0, 1.0, 1.0]}) == 115_000
    assert usual_saved_bytes(1000, 3) == (6000, 10_500)


SIZES = [((20, 100, 100), (4.0, 1.0, 1.0)), ((10, 50, 50), (8.0, 2.0, 2.0)), ((20, 50, 100), (4.0, 1.0, 1.0))]


@pytest.mark.parametrize(
    ("configuration", "n_voxels"),
    [
        # Across the slices nothing is resampled in 2D; else the second case grows eight times.
        ("2d", 200_000 + 10 * 100 * 100 + 100_000),
        ("3d_fullres", 200_000 + 200_000 + 100_000),
        ("3d_fullres_bs8", 500_000),
        ("3d_cascade_fullres", 500_000),
        ("3d_lowres", None),
        ("mine", None),
    ],
)
def test_voxels_of_a_configuration_that_nobody_planned_follow_from_the_headers(
    configuration: str, n_voxels: int | None
) -> None:
    assert unplanned_voxels(SIZES, configuration) == n_voxels
    assert unplanned_voxels([], configuration) is None


CASES = st.tuples(
    st.tuples(*[st.integers(1, 300)] * 3), st.tuples(*[st.sampled_from([0.5, 0.9, 1.0, 1.5, 3.0, 5.0, 10.0])] * 3)
)


@given(st.lists(CASES, min_size=1, max_size=6))
def test_the_spacing_is_that_of_nnunets_planner(cases: list[Any]) -> None:
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

    fingerprint = {"spacings": [mm for _, mm in cases], "shapes_after_crop": [shape for shape, _ in cases]}
    asked = SimpleNamespace(overwrite_target_spacing=None, dataset_fingerprint=fingerprint, anisotropy_threshold=3)
    planned = ExperimentPlanner.determine_fullres_target_spacing(asked)
    assert np.allclose(target_spacing(cases), planned, atol=2e-5)
