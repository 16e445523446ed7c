"""What normalization does to an image, from numbers worked out by hand."""

import math
from dataclasses import astuple, replace

import pytest

from nnunet_assets.core.dataset import intensity_rules
from nnunet_assets.core.dataset.intensity_rules import (
    FLATTENED,
    HALF_MOST,
    LEAST_SPREAD,
    MOST,
    Effect,
    Extremes,
    Range,
    Scheme,
    ct_effect,
    effects,
    scheme_of,
)

PLAIN = Range(n=1000, mean=100.0, spread=20.0, lowest=40.0, highest=160.0)
IMAGE = Extremes(whole=PLAIN, rest=PLAIN, nonzero=PLAIN, nonzero_rest=PLAIN, width=60.0, step=1e-5)
SCHEMES: tuple[Scheme, ...] = ("ct", "nonorm", "zscore", "rescale_to_0_1")


def test_without_voxels_all_numbers_are_zero_and_nothing_happens() -> None:
    nothing = Extremes(Range(), Range(), Range(), Range(), width=0.0, step=0.0)
    assert set(astuple(nothing)[:4]) == {(0, 0.0, 0.0, 0.0, 0.0)}
    assert (nothing.n_too_large, nothing.n_odd, nothing.is_too_large_in_label) == (0, 0, False)
    assert [effect for scheme in SCHEMES for effect in effects(nothing, scheme)] == []


def said(image: Extremes, scheme: Scheme) -> tuple[str, str]:
    (effect,) = effects(image, scheme)
    return effect.severity, effect.sentence


def of_range(lowest: float, highest: float, *, n_odd: int = 0) -> Extremes:
    return replace(IMAGE, whole=replace(PLAIN, lowest=lowest, highest=highest), n_odd=n_odd)


def of_spread(spread: float, *, nonzero: float | None = None, n_odd: int = 1) -> Extremes:
    """With one odd voxel, which makes the spread so wide; without it the spread is 20."""
    inside = spread if nonzero is None else nonzero
    return replace(
        IMAGE, whole=replace(PLAIN, spread=spread), nonzero=replace(PLAIN, spread=inside), n_odd=n_odd, voxel=(0, 0, 0)
    )


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("CT", "ct"), ("noNorm", "nonorm"), ("Rescale_to_0_1", "rescale_to_0_1"), ("zscore", "zscore"), ("T1", "zscore")],
)
def test_the_name_of_the_channel_decides(name: str, scheme: Scheme) -> None:
    assert scheme_of(name) == scheme


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_plain_image_is_none_to_speak_of(scheme: Scheme) -> None:
    assert list(effects(IMAGE, scheme)) == []


class TestInAnyScheme:
    @pytest.mark.parametrize(
        ("scheme", "sentence"),
        [
            ("nonorm", "what is infinite reaches the network, whose loss is NaN."),
            ("rgb_to_0_1", "nnU-Net stops there, since rgb_to_0_1 takes values from 0 to 255."),
            ("zscore", "mean and range are infinite, and after normalization voxels of the whole image are NaN."),
            ("rescale_to_0_1", "mean and range are infinite, and after normalization voxels of the whole image are"),
            ("ct", "what is infinite is clipped to the highest usual value."),
        ],
    )
    def test_what_32_bits_do_not_hold_is_an_error_and_all_that_is_said(self, scheme: Scheme, sentence: str) -> None:
        severity, text = said(replace(of_spread(1e6), n_too_large=1), scheme)
        assert (severity, text.startswith(f"nnU-Net reckons in 32-bit floats, which end at 3.4e+38: {sentence}")) == (
            "error",
            True,
        )

    def test_in_a_label_of_a_ct_it_spoils_every_case(self) -> None:
        _, text = said(replace(IMAGE, n_too_large=2, is_too_large_in_label=True), "ct")
        assert text.endswith("taken from label voxels, make every voxel of every case NaN.")

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_values_that_32_bits_do_not_tell_apart_are_an_error(self, scheme: Scheme) -> None:
        assert said(of_range(7.0, 7.0), scheme) == (
            "error",
            "As 32-bit floats, in which nnU-Net reckons, all voxels are equal.",
        )

    def test_a_constant_image_is_a_finding_of_its_own(self) -> None:
        flat = replace(PLAIN, spread=0.0, lowest=7.0, highest=7.0)
        assert list(effects(Extremes(flat, flat, flat, flat, width=0.0, step=1e-6), "zscore")) == []

    @pytest.mark.parametrize(("step", "is_said"), [(7.5, False), (7.6, True)])
    def test_fewer_than_eight_steps_are_coarse(self, step: float, is_said: bool) -> None:
        found = list(effects(replace(IMAGE, step=step), "zscore"))
        assert bool(found) == is_said
        if found:
            assert found[0] == Effect(
                "warning",
                "As 32-bit floats, in which nnU-Net reckons, its values go in steps of 7.6, and nine tenths of them "
                "lie within 60. Take a common offset away.",
            )

    def test_coarse_steps_are_said_beside_what_the_scheme_does(self) -> None:
        found = [effect.severity for effect in effects(replace(of_range(0, 70_000), step=10.0), "nonorm")]
        assert found == ["warning", "warning"]


class TestZScore:
    def test_sums_and_squares_must_fit_into_32_bits(self) -> None:
        mean = replace(IMAGE, whole=replace(PLAIN, mean=-MOST / 999))
        assert said(mean, "zscore") == (
            "error",
            "The sum of all voxels is infinite in 32 bits: after z-score every voxel is NaN.",
        )
        assert list(effects(replace(IMAGE, whole=replace(PLAIN, mean=MOST / 1001)), "zscore")) == []
        wide = replace(IMAGE, whole=replace(PLAIN, spread=1.001 * math.sqrt(MOST / 1000)))
        assert said(wide, "zscore") == (
            "error",
            "The spread is infinite in 32 bits: after z-score every voxel of the image is 0.",
        )
        assert (
            list(effects(replace(IMAGE, whole=replace(PLAIN, spread=0.999 * math.sqrt(MOST / 1000))), "zscore")) == []
        )

    @pytest.mark.parametrize(("spread", "severity"), [(0.99 * LEAST_SPREAD, "warning"), (0.9e-11, "error")])
    def test_a_spread_below_what_nnunet_divides_by_is_said(self, spread: float, severity: str) -> None:
        found, text = said(of_spread(spread, n_odd=0), "zscore")
        assert found == severity
        assert text == (
            f"nnU-Net divides by 1e-08 at the least, and the values lie within {spread:.3g}: after z-score they lie "
            f"within {spread / 1e-8:.3g}. Give the image in a smaller unit."
        )

    def test_it_must_be_so_with_zeros_and_without_and_a_constant_image_is_not_meant(self) -> None:
        assert list(effects(of_spread(0.5e-8, nonzero=20.0, n_odd=0), "zscore")) == []
        assert list(effects(of_spread(0.0, nonzero=0.0, n_odd=0), "zscore")) == []
        assert list(effects(of_spread(LEAST_SPREAD, n_odd=0), "zscore")) == []

    @pytest.mark.parametrize(
        ("spread", "severity"), [(39.9, None), (20 * FLATTENED, "warning"), (199_990, "warning"), (2e5, "error")]
    )
    def test_one_voxel_that_flattens_all_others_is_said(self, spread: float, severity: str | None) -> None:
        found = list(effects(of_spread(spread), "zscore"))
        assert [effect.severity for effect in found] == ([severity] if severity else [])
        if severity == "warning":
            assert found[0].sentence.startswith(
                f"Z-score divides by a spread of {spread:.4g}, which is 20 without this"
            )
            assert found[0].sentence.endswith(f"all the others are flattened {spread / 20:.3g} times.")
        if severity == "error":
            assert found[0].sentence.endswith("are flattened 1e+04 times, and nothing is left of them.")

    def test_it_must_be_so_with_zeros_and_without_and_several_voxels_are_counted(self) -> None:
        assert list(effects(of_spread(100.0, nonzero=25.0), "zscore")) == []
        assert list(effects(of_spread(25.0, nonzero=100.0), "zscore")) == []
        assert list(effects(of_spread(100.0, n_odd=0), "zscore")) == []
        assert "without 3 such voxels: all" in said(of_spread(100.0, nonzero=60.0, n_odd=3), "zscore")[1]
        assert said(of_spread(100.0, nonzero=60.0), "zscore")[1].endswith("flattened 3 times.")

    def test_where_all_others_are_equal_they_count_as_what_nnunet_divides_by(self) -> None:
        flat = replace(PLAIN, spread=0.0)
        image = replace(of_spread(5e-8), rest=flat, nonzero_rest=flat)
        assert said(image, "zscore")[1].endswith("flattened 5 times.")


class TestRescaling:
    def test_the_range_must_fit_into_32_bits(self) -> None:
        assert said(of_range(-MOST / 2, 0.51 * MOST), "rescale_to_0_1") == (
            "error",
            "The range is infinite in 32 bits: after rescaling to 0 to 1, voxels are NaN.",
        )
        assert list(effects(of_range(-MOST / 2, MOST / 2), "rescale_to_0_1")) == []

    def test_a_range_below_what_nnunet_divides_by_is_said(self) -> None:
        severity, text = said(of_range(0.0, 2e-9), "rescale_to_0_1")
        assert severity == "warning"
        assert text.endswith("after rescaling to 0 to 1 they lie within 0.2. Give the image in a smaller unit.")
        assert list(effects(of_range(0.0, LEAST_SPREAD), "rescale_to_0_1")) == []
        assert list(effects(replace(of_range(5.0, 5.0), width=0.0), "rescale_to_0_1")) == []

    @pytest.mark.parametrize(
        ("highest", "n_odd", "factor"), [(279, 1, None), (280, 1, "2"), (640, 2, "5"), (640, 0, None)]
    )
    def test_one_voxel_that_flattens_all_others_is_said(self, highest: float, n_odd: int, factor: str | None) -> None:
        # Without it they go from 40 to 160.
        found = list(effects(of_range(40.0, highest, n_odd=n_odd), "rescale_to_0_1"))
        assert len(found) == (factor is not None)
        if factor:
            assert found[0].sentence.startswith(
                f"Rescaling to 0 to 1 divides by a range of {highest - 40}, which is 120"
            )
            assert found[0].sentence.endswith(f"flattened {factor} times.")


@pytest.mark.parametrize(("lowest", "highest", "is_said"), [(0, 255, False), (-0.5, 255, True), (0, 255.5, True)])
def test_colours_go_from_0_to_255(lowest: float, highest: float, is_said: bool) -> None:
    found = list(effects(of_range(lowest, highest), "rgb_to_0_1"))
    assert [effect.severity for effect in found] == ["error"] * is_said
    if found:
        assert found[0].sentence.startswith(f"Its values go from {lowest:.6g} to {highest:.6g}; rgb_to_0_1 takes 0 to")


@pytest.mark.parametrize(
    ("lowest", "highest", "is_said"), [(0, HALF_MOST, False), (0, 65505, True), (-70_000, 10, True), (-65504, 0, False)]
)
def test_what_is_not_normalized_must_fit_into_16_bits(lowest: float, highest: float, is_said: bool) -> None:
    found = list(effects(of_range(lowest, highest), "nonorm"))
    assert [effect.severity for effect in found] == ["warning"] * is_said
    if found:
        assert found[0].sentence.startswith(
            f"Its values reach {max(-lowest, highest):.4g} and are not normalized; 16-bit"
        )


@pytest.mark.parametrize(
    ("lowest", "highest", "n_odd", "in_label", "is_said"),
    [
        (-1000, 2e6, 1, None, True),
        (-2e6, 1000, 1, None, True),
        (-1000, 1e6, 1, None, False),
        (-1000, 1e6 + 0.5, 1, None, True),
        (-1000, 2e6, 0, None, False),
        # There it spoils more than its own case: `ct_effect`.
        (-1000, 2e6, 1, 2e6, False),
    ],
)
def test_a_ct_clips_what_is_no_hounsfield_unit(
    lowest: float, highest: float, n_odd: int, in_label: float | None, is_said: bool
) -> None:
    image = replace(of_range(lowest, highest, n_odd=n_odd), odd_in_label=in_label)
    assert [effect.severity for effect in effects(image, "ct")] == ["warning"] * is_said


class TestAnOddVoxelInALabelOfACt:
    """Mean of the others 100. It lies in one of `n_foreground` label voxels, of which 10,000 are drawn."""

    @pytest.fixture(autouse=True)
    def _drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intensity_rules, "SAMPLED", 40_000)

    def effect(
        self, value: float | None, n_foreground: int = 100, n_cases: int = 4, usual: float = 50.0
    ) -> Effect | None:
        return ct_effect(replace(IMAGE, odd_in_label=value, n_odd=1), n_foreground, n_cases, usual)

    def test_without_one_nothing_happens(self) -> None:
        assert self.effect(None) is None
        assert self.effect(1e9, n_foreground=0) is None
        assert self.effect(110.0) is None

    def test_it_widens_the_spread_of_every_case(self) -> None:
        # Drawn 100 times: 100 * 2000^2 over 40,000 voxels is 100^2, beside 50^2.
        effect = self.effect(2100.0)
        spread = math.hypot(50, 100)
        assert effect == Effect(
            "warning",
            "It lies in a label, and CT normalization takes mean and spread of the channel from label voxels (100% "
            f"chance of this one): it may raise the spread from 50 to {spread:.3g}, which flattens every case "
            f"{spread / 50:.3g} times.",
        )

    def test_less_than_twice_is_nothing_and_of_many_cases_it_is_less(self) -> None:
        # The limit: sqrt(3) * 50 = 86.6, from 1732 above the mean on.
        assert self.effect(100 + 1733.0) is not None
        assert self.effect(100 + 1731.0) is None
        assert self.effect(2100.0, n_cases=8) is None

    def test_of_a_large_label_it_is_drawn_once_if_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(intensity_rules, "SAMPLED", 10_000)
        effect = self.effect(100 + 20_000.0, n_foreground=20_000, n_cases=1)
        assert effect is not None
        # 1 - (1 - 1/20,000)^10,000 = 1 - exp(-0.5); 20,000^2 / 10,000 = 200^2.
        assert "(39% chance of this one)" in effect.sentence
        assert f"from 50 to {math.hypot(50, 200):.3g}, " in effect.sentence
        alone = self.effect(100 + 1000.0, n_foreground=1, n_cases=1)
        assert alone is not None
        assert "(100% chance of this one): it may raise the spread from 50 to 1e+03," in alone.sentence

    def test_of_ten_million_voxels_of_each_of_ten_cases_it_is_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()
        effect = self.effect(100 + 1e6, n_foreground=1_000_000, n_cases=10)
        assert effect is not None
        # Drawn 10 times: 10 * 10^12 over 10^8 voxels is 10^5.
        assert f"(100% chance of this one): it may raise the spread from 50 to {math.hypot(50, 10**2.5):.3g}," in (
            effect.sentence
        )

    def test_what_32_bits_do_not_hold_makes_every_case_0(self) -> None:
        effect = self.effect(2e18)
        assert effect is not None
        assert effect.severity == "error"
        assert effect.sentence.endswith("the spread is infinite, and every voxel of every case becomes 0.")
        assert self.effect(1.8e18) is not None
        assert self.effect(1.8e18).severity == "warning"

    def test_without_a_spread_to_compare_it_with_nothing_is_said(self) -> None:
        assert self.effect(2100.0, usual=0.0) is None
