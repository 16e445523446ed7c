"""Images beside those that a model was trained on; every number is worked out by hand."""

import re
from dataclasses import replace

import pytest

from nnunet_assets.core.dataset.intake import Intensities
from nnunet_assets.core.model.model_description import ExpectedChannel, ExpectedImages
from nnunet_assets.core.model.training_range import intensity_findings, share_between, spacing_findings

CT = ExpectedChannel("CT", "CTNormalization", low=-17, high=201, mean=99, std=37)
EXPECTED = ExpectedImages(
    ".nii.gz",
    (CT,),
    spacing_low=(1.0, 0.5, 0.5),
    spacing_median=(3.0, 0.7, 0.7),
    spacing_high=(5.0, 1.0, 1.0),
    n_cases=9,
)
BODY = Intensities(minimum=-1024, p00_5=-1020, q25=-900, median=-100, q75=60, p99_5=800, maximum=2000)
"""A CT: from -100 to 60 lies a quarter of the voxels, from 60 to 800 another."""


@pytest.mark.parametrize(
    ("spacing_mm", "axes"),
    [
        ((3.0, 0.7, 0.7), None),
        ((5.4, 1.09, 0.46), None),  # within the leeway of a tenth
        ((5.6, 0.7, 0.7), "z"),
        ((0.92, 0.7, 0.4), "x"),  # 0.92 is within the leeway of 1 / 1.1
        ((10.0, 2.0, 2.0), "z, y, x"),
    ],
)
def test_voxels_of_a_size_that_was_never_seen_are_named_with_their_axes(
    spacing_mm: tuple[float, ...], axes: str | None
) -> None:
    found = list(spacing_findings("a", spacing_mm, EXPECTED))
    assert [finding.severity for finding in found] == ["warning"] * (axes is not None)
    if axes:
        assert f"it stands out along {axes}." in found[0].message
        assert "training images of 9 cases were between 1 × 0.5 × 0.5 mm and 5 × 1 × 1 mm" in found[0].message


def test_of_an_image_of_two_axes_the_last_two_count() -> None:
    assert list(spacing_findings("a", (0.7, 0.7), EXPECTED)) == []
    (found,) = spacing_findings("a", (0.7, 7.0), EXPECTED)
    assert "stands out along x" in found.message


def test_where_nothing_is_known_nothing_is_said() -> None:
    unknown = replace(EXPECTED, spacing_low=None, channels=(replace(CT, low=None),))
    assert list(spacing_findings("a", (99.0, 99.0, 99.0), unknown)) == []
    assert list(intensity_findings("a", [BODY], unknown)) == []
    assert list(intensity_findings("a", [None], EXPECTED)) == []


def test_the_share_is_read_off_the_percentiles() -> None:
    # A quarter lies between -100 and 60, of which -17 to 60 is 77 / 160; then 141 of the 740 to the 99.5th percentile.
    assert share_between(BODY, -17, 201) == pytest.approx(0.25 * 77 / 160 + 0.245 * 141 / 740, abs=1e-9)
    assert share_between(BODY, -2000, 3000) == pytest.approx(1)
    assert share_between(BODY, 2001, 3000) == pytest.approx(0)


def test_many_voxels_of_one_value_count_where_the_value_does() -> None:
    mostly_zero = Intensities(minimum=0, p00_5=0, q25=0, median=0, q75=0, p99_5=50, maximum=100)
    assert share_between(mostly_zero, 0, 10) == pytest.approx(0.75 + 0.245 / 5, abs=1e-6)
    assert share_between(mostly_zero, 1e-3, 10) == pytest.approx(0.245 / 5, abs=1e-3)
    constant = Intensities(7, 7, 7, 7, 7, 7, 7)
    assert (share_between(constant, 0, 7), share_between(constant, 8, 9)) == (1, 0)


SCALED = Intensities(minimum=0, p00_5=0.001, q25=0.02, median=0.3, q75=0.5, p99_5=0.9, maximum=1)
APART = Intensities(minimum=3000, p00_5=3001, q25=3100, median=3200, q75=3300, p99_5=3900, maximum=4000)


def test_a_ct_in_another_unit_is_named_with_the_numbers() -> None:
    assert list(intensity_findings("a", [BODY], EXPECTED)) == []
    (found,) = intensity_findings("a", [APART], EXPECTED)
    assert (
        "channel CT, has intensities from 3000 to 4000 (median 3200), and no voxel between -17 and 201" in found.message
    )
    hardly = replace(APART, minimum=100)
    (found,) = intensity_findings("a", [hardly], EXPECTED)
    assert re.search(r"about 0\.\d+ % of the voxels between -17 and 201", found.message)


def test_an_mr_has_a_scale_of_its_own_unless_it_is_wholly_apart() -> None:
    mr = replace(EXPECTED, channels=(replace(CT, normalization="ZScoreNormalization"),))
    assert list(intensity_findings("a", [replace(APART, minimum=100)], mr)) == []
    assert len(list(intensity_findings("a", [APART], mr))) == 1


def test_a_ct_between_0_and_1_is_named_though_it_lies_within_the_range() -> None:
    (found,) = intensity_findings("a", [SCALED], EXPECTED)
    assert "from 0 to 1 (median 0.3), and about 100 % of the voxels between" in found.message
