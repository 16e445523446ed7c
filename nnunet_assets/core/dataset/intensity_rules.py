"""What nnU-Net's normalization makes of an image's voxels: whether its numbers hold them, and what single ones do.

nnU-Net reckons in 32-bit floats, with nothing to catch a number that is too large: one voxel of 3e38 under z-score
makes the spread infinite and every voxel of its case 0, without a word. This is the arithmetic of
`nnunetv2.preprocessing.normalization`, from a few numbers of each image, for the scheme that nnU-Net takes by the
channel's name.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nnunet_assets.core.dataset.findings import Severity

Scheme = Literal["ct", "nonorm", "zscore", "rescale_to_0_1", "rgb_to_0_1"]
SCHEMES: tuple[Scheme, ...] = ("ct", "nonorm", "zscore", "rescale_to_0_1", "rgb_to_0_1")
"""The channel names by which nnU-Net knows them, in small letters; every other name means z-score."""

MOST = 3.4028234663852886e38
"""The largest 32-bit float."""
HALF_MOST = 65504.0
"""The largest 16-bit float, in which a network is trained on a GPU."""
LEAST_SPREAD = 1e-8
"""What nnU-Net divides by at the least."""
FLATTENED = 2.0
"""A few voxels flatten an image when they alone make what it is divided by so many times as large. Metal of 30,000 HU
in a CT, and the bright vessels of an MR, stay below."""
_LOST = 1e4
"""Flattened so many times, nothing is left of an image in the 16-bit floats in which a network is trained."""
_STEPS = 8.0
"""Fewer steps of 32-bit floats across the middle nine tenths of an image's values lose its contrast."""
SAMPLED = 100_000_000
"""Foreground voxels, as many of each case, from which nnU-Net takes the mean and spread of a dataset's CT channel."""
_MOST_HU = 1e6
"""No Hounsfield unit, and no metal, is as large."""


@dataclass(frozen=True)
class Range:
    """How far voxels lie apart. Without voxels, all are 0.

    Attributes:
        n: How many.
        mean: Their mean.
        spread: Their standard deviation (over n).
        lowest: The lowest, as a 32-bit float.
        highest: The highest, likewise.
    """

    n: int = 0
    mean: float = 0.0
    spread: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0


@dataclass(frozen=True)
class Extremes:
    """What of an image decides how its normalization turns out.

    Attributes:
        whole: Of the voxels that a 32-bit float holds.
        rest: Of these, without the odd ones.
        nonzero: As `whole`, without zeros, which nnU-Net leaves out where most of the images are 0 around the body.
        nonzero_rest: As `rest`, without zeros.
        width: The middle nine tenths of the values lie in so wide a range.
        step: Two neighbouring 32-bit floats differ by so much at these values.
        n_too_large: Voxels that a 32-bit float does not hold.
        n_odd: A few voxels, far from all others.
        voxel: Index of the farthest of those that are too large, or odd; None: there is none.
        value: Its value as text.
        odd_in_label: Of the odd voxels in a label, the value of the farthest; None: none is.
        is_too_large_in_label: Whether one that is too large is in a label.
    """

    whole: Range
    rest: Range
    nonzero: Range
    nonzero_rest: Range
    width: float
    step: float
    n_too_large: int = 0
    n_odd: int = 0
    voxel: tuple[int, ...] | None = None
    value: str = ""
    odd_in_label: float | None = None
    is_too_large_in_label: bool = False


@dataclass(frozen=True)
class Effect:
    """What normalization does to an image that it should not.

    Attributes:
        severity: An error where nothing sensible is left of the image.
        sentence: From "after", or whole sentences that stand behind "has VALUE at index VOXEL".
    """

    severity: Severity
    sentence: str


def scheme_of(channel_name: str) -> Scheme:
    """Returns how nnU-Net normalizes a channel of this name."""
    return next((scheme for scheme in SCHEMES if scheme == channel_name.casefold()), "zscore")


def effects(image: Extremes, scheme: Scheme) -> Iterator[Effect]:
    """Yields what the normalization of this image alone does to it, the first error and nothing more, or warnings."""
    if image.n_too_large:
        yield Effect("error", _too_large(image, scheme))
    elif image.whole.lowest == image.whole.highest and image.width > 0:
        yield Effect("error", "As 32-bit floats, in which nnU-Net reckons, all voxels are equal.")
    else:
        yield from _OF_SCHEME[scheme](image)
        if image.width > 0 and image.step * _STEPS > image.width:
            yield Effect(
                "warning",
                f"As 32-bit floats, in which nnU-Net reckons, its values go in steps of {image.step:.3g}, and nine "
                f"tenths of them lie within {image.width:.3g}. Take a common offset away.",
            )


def ct_effect(image: Extremes, n_foreground: int, n_cases: int, usual_spread: float) -> Effect | None:
    """Returns what an odd voxel in a label does to every case of a CT channel; None: nothing.

    nnU-Net takes mean and spread of the channel from 10^8 foreground voxels, as many of each case, drawn with
    replacement (`DatasetFingerprintExtractor`): of few cases each voxel of a label is drawn, and many times.

    Args:
        image: With the odd voxel.
        n_foreground: Voxels in its case's labels.
        n_cases: Of the dataset.
        usual_spread: Standard deviation of the voxels of most images.
    """
    value = image.odd_in_label
    if value is None or n_foreground < 1:
        return None
    n_of_case = max(1, SAMPLED // n_cases)
    n_drawn = max(1.0, n_of_case / n_foreground)
    chance = -math.expm1(n_of_case * math.log1p(-1 / n_foreground)) if n_foreground > 1 else 1.0
    squares = n_drawn * (value - image.rest.mean) ** 2
    drawn = "It lies in a label, and CT normalization takes mean and spread of the channel from label voxels"
    if squares > MOST:
        return Effect("error", f"{drawn}: the spread is infinite, and every voxel of every case becomes 0.")
    spread = math.sqrt(usual_spread**2 + squares / (n_of_case * n_cases))
    if not usual_spread or spread < FLATTENED * usual_spread:
        return None
    return Effect(
        "warning",
        f"{drawn} ({chance:.0%} chance of this one): it may raise the spread from {usual_spread:.3g} to {spread:.3g}, "
        f"which flattens every case {spread / usual_spread:.3g} times.",
    )


def _too_large(image: Extremes, scheme: Scheme) -> str:
    held = f"nnU-Net reckons in 32-bit floats, which end at {MOST:.2g}: "
    if scheme == "ct":
        if image.is_too_large_in_label:
            return f"{held}mean and spread of the channel, taken from label voxels, make every voxel of every case NaN."
        return f"{held}what is infinite is clipped to the highest usual value."
    if scheme == "nonorm":
        return f"{held}what is infinite reaches the network, whose loss is NaN."
    if scheme == "rgb_to_0_1":
        return f"{held}nnU-Net stops there, since rgb_to_0_1 takes values from 0 to 255."
    return f"{held}mean and range are infinite, and after normalization voxels of the whole image are NaN."


def _zscore(image: Extremes) -> Iterator[Effect]:
    whole = image.whole
    if abs(whole.mean) * whole.n > MOST:
        yield Effect("error", "The sum of all voxels is infinite in 32 bits: after z-score every voxel is NaN.")
    elif whole.spread**2 * whole.n > MOST:
        yield Effect("error", "The spread is infinite in 32 bits: after z-score every voxel of the image is 0.")
    elif 0 < whole.spread < LEAST_SPREAD and image.nonzero.spread < LEAST_SPREAD:
        yield _tiny(whole.spread, "z-score")
    elif image.n_odd:
        factor = min(_ratio(whole.spread, image.rest.spread), _ratio(image.nonzero.spread, image.nonzero_rest.spread))
        if factor >= FLATTENED:
            yield _flattened(
                f"Z-score divides by a spread of {whole.spread:.4g}, which is {image.rest.spread:.4g}", image, factor
            )


def _rescale(image: Extremes) -> Iterator[Effect]:
    length, rest = image.whole.highest - image.whole.lowest, image.rest.highest - image.rest.lowest
    if length > MOST:
        yield Effect("error", "The range is infinite in 32 bits: after rescaling to 0 to 1, voxels are NaN.")
    elif 0 < length < LEAST_SPREAD:
        yield _tiny(length, "rescaling to 0 to 1")
    elif image.n_odd and (factor := _ratio(length, rest)) >= FLATTENED:
        yield _flattened(f"Rescaling to 0 to 1 divides by a range of {length:.4g}, which is {rest:.4g}", image, factor)


def _rgb(image: Extremes) -> Iterator[Effect]:
    if image.whole.lowest < 0 or image.whole.highest > 255:
        yield Effect(
            "error",
            f"Its values go from {image.whole.lowest:.6g} to {image.whole.highest:.6g}; rgb_to_0_1 takes 0 to 255, and "
            "nnU-Net stops there. Name the channel otherwise, or scale the image.",
        )


def _nonorm(image: Extremes) -> Iterator[Effect]:
    if (most := max(abs(image.whole.lowest), abs(image.whole.highest))) > HALF_MOST:
        yield Effect(
            "warning",
            f"Its values reach {most:.4g} and are not normalized; 16-bit floats, in which a GPU trains, end at "
            f"{HALF_MOST:.0f}, and beyond it the loss is NaN. Scale the image, or name the channel otherwise.",
        )


def _ct(image: Extremes) -> Iterator[Effect]:
    most = max(abs(image.whole.lowest), abs(image.whole.highest))
    if image.n_odd and most > _MOST_HU and image.odd_in_label is None:
        yield Effect("warning", "That is no Hounsfield unit. CT normalization clips it, since it lies in no label.")


_OF_SCHEME = {"ct": _ct, "nonorm": _nonorm, "zscore": _zscore, "rescale_to_0_1": _rescale, "rgb_to_0_1": _rgb}


def _flattened(divisor: str, image: Extremes, factor: float) -> Effect:
    return Effect(
        "warning" if factor < _LOST else "error",
        f"{divisor} without {_voxels(image.n_odd)}: all the others are flattened {factor:.3g} times"
        f"{'.' if factor < _LOST else ', and nothing is left of them.'}",
    )


def _tiny(spread: float, scheme: str) -> Effect:
    return Effect(
        "error" if spread < LEAST_SPREAD / 1000 else "warning",
        f"nnU-Net divides by {LEAST_SPREAD:g} at the least, and the values lie within {spread:.3g}: after {scheme} "
        f"they lie within {spread / LEAST_SPREAD:.3g}. Give the image in a smaller unit.",
    )


def _ratio(whole: float, rest: float) -> float:
    return max(whole, LEAST_SPREAD) / max(rest, LEAST_SPREAD)


def _voxels(n: int) -> str:
    return "this voxel" if n == 1 else f"{n} such voxels"
