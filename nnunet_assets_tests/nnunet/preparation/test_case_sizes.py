from typing import Any

import pytest

from nnunet_assets.nnunet.preparation.case_sizes import (
    PROCESS_BYTES,
    fitting_processes,
    largest_case_bytes,
    least_saved_bytes,
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
