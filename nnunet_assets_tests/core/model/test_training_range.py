"""Images beside those that a model was trained on; every number is worked out by hand."""

import re
from dataclasses import replace

import pytest

from nnunet_assets.core.dataset.intake import Intensities
from nnunet_assets.core.model import training_range
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


@pytest.mark.parametrize(
    ("mm", "stands_out"), [(5.5, False), (5.51, True), (1 / 1.1, False), (0.909, True), (1.0, False), (5.0, False)]
)
def test_a_tenth_beyond_the_training_images_is_none(mm: float, stands_out: bool) -> None:
    assert bool(list(spacing_findings("a", (mm, 0.7, 0.7), EXPECTED))) is stands_out


def test_how_many_cases_there_were_is_said_where_it_is_known() -> None:
    for n_cases, said in ((9, "training images of 9 cases were"), (None, "training images were")):
        (found,) = spacing_findings("a", (9.0, 0.7, 0.7), replace(EXPECTED, n_cases=n_cases))
        assert said in found.message
        assert (found.code, found.case) == ("D072", "a")
        assert found.message.startswith("Case 'a' has voxels of 9 × 0.7 × 0.7 mm (z × y × x), ")
    one_end = replace(EXPECTED, spacing_high=None)
    assert list(spacing_findings("a", (9.0, 9.0, 9.0), one_end)) == []


def test_each_channel_is_held_against_its_own() -> None:
    two = replace(EXPECTED, channels=(CT, replace(CT, name="PET", low=0, high=10)))
    found = list(intensity_findings("a", [BODY, APART, APART], two))
    assert [one.message.partition(",")[2].partition(",")[0] for one in found] == [" channel PET"]
    unknown = replace(EXPECTED, channels=(replace(CT, high=None), CT))
    assert [one.severity for one in intensity_findings("a", [APART, APART], unknown)] == ["warning"]
    assert len(list(intensity_findings("a", [None, APART], two))) == 1


@pytest.mark.parametrize(
    ("minimum", "maximum", "is_apart"),
    [(3000, 4000, True), (-4000, -18, True), (201, 4000, False), (-4000, -17, False)],
)
def test_an_image_that_touches_the_range_is_not_wholly_apart(minimum: float, maximum: float, is_apart: bool) -> None:
    middle = (minimum + maximum) / 2
    found = Intensities(minimum, minimum, middle, middle, middle, maximum, maximum)
    mr = replace(EXPECTED, channels=(replace(CT, normalization="RescaleTo01Normalization"),))
    assert bool(list(intensity_findings("a", [found], mr))) is is_apart


@pytest.mark.parametrize(("width", "is_narrow"), [(43.5, True), (43.7, False)])
def test_a_fifth_of_the_foregrounds_spread_is_wide_enough(width: float, is_narrow: bool) -> None:
    # The foreground spreads over 218.
    found = Intensities(0, 0, width / 4, width / 2, width * 3 / 4, width, width)
    assert bool(list(intensity_findings("a", [found], EXPECTED))) is is_narrow


@pytest.mark.parametrize(
    ("share", "shown"), [(0.1, "10"), (0.256, "26"), (0.0999, "10"), (0.0123, "1.2"), (1e-5, "0.001")]
)
def test_a_share_is_shown_in_percent(share: float, shown: str) -> None:
    assert training_range._percent(share) == shown
