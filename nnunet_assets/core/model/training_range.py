"""How a new image compares with those that a model was trained on: what stands out becomes a warning with the numbers.

A network answers on any image. A voxel size or an intensity that it never saw is the commonest reason for a mask that
is wrong without a word; whether it is one only a person can tell.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.dataset.intake import Intensities
from nnunet_assets.core.model.model_description import ExpectedChannel, ExpectedImages

SPACING_LEEWAY = 1.1
"""A voxel size so many times beyond the training images' smallest or largest is not told from theirs."""

LEAST_SHARE = 0.005
"""Of an image's voxels that lie among the foreground's intensities: a small organ is half a percent of its image."""

NARROWEST = 5.0
"""An image of Hounsfield units spreads at least a fifth as far as the foreground does; one between 0 and 1 does not."""


def spacing_findings(case: str, spacing_mm: Sequence[float], expected: ExpectedImages) -> Iterator[Finding]:
    """Yields that an image has voxels of a size that no training image had.

    Args:
        case: Whose image it is.
        spacing_mm: Along z, y, x; of an image of two axes the last two count.
        expected: The training images; where their spacings are not known, nothing is said.
    """
    if expected.spacing_low is None or expected.spacing_high is None:
        return
    n_axes = min(len(spacing_mm), len(expected.spacing_low))
    own = tuple(spacing_mm[-n_axes:])
    low, high = expected.spacing_low[-n_axes:], expected.spacing_high[-n_axes:]
    odd = [
        axis
        for axis, mm, least, most in zip("zyx"[-n_axes:], own, low, high, strict=True)
        if mm < least / SPACING_LEEWAY or mm > most * SPACING_LEEWAY
    ]
    if odd:
        n_cases = f" of {expected.n_cases} cases" if expected.n_cases else ""
        message = (
            f"Case {case!r} has voxels of {_mm(own)} (z × y × x), and those of the training images{n_cases} were "
            f"between {_mm(low)} and {_mm(high)}: it stands out along {', '.join(odd)}. The model never saw such "
            "images; look at the mask with care, or resample the image."
        )
        yield Finding("D072", "warning", message, case)


def intensity_findings(
    case: str, intensities: Sequence[Intensities | None], expected: ExpectedImages
) -> Iterator[Finding]:
    """Yields channels in which hardly a voxel lies where the foreground of the training images did.

    Args:
        case: Whose image it is.
        intensities: By channel; None: not known.
        expected: The training images.
    """
    for found, channel in zip(intensities, expected.channels, strict=False):
        if found is None or channel.low is None or channel.high is None:
            continue
        share = share_between(found, channel.low, channel.high)
        is_apart = found.maximum < channel.low or found.minimum > channel.high
        is_narrow = NARROWEST * (found.p99_5 - found.p00_5) < channel.high - channel.low
        if is_apart or ((share < LEAST_SHARE or is_narrow) and not _has_own_scale(channel)):
            part = "no voxel" if is_apart else f"about {_percent(share)} % of the voxels"
            message = (
                f"Case {case!r}, channel {channel.name}, has intensities from {found.minimum:g} to {found.maximum:g} "
                f"(median {found.median:g}), and {part} between {channel.low:g} and {channel.high:g}, where 99 % of "
                "the training images' foreground lay. Are they of another kind, unit or offset?"
            )
            yield Finding("D072", "warning", message, case)


def share_between(found: Intensities, low: float, high: float) -> float:
    """Returns about which share of an image's voxels lies between two intensities, by its percentiles.

    Between two percentiles voxels are taken for evenly spread. Of an image of one value, 1 or 0.
    """
    values = [found.minimum, found.p00_5, found.q25, found.median, found.q75, found.p99_5, found.maximum]
    shares = [0.0, 0.005, 0.25, 0.5, 0.75, 0.995, 1.0]
    if found.minimum == found.maximum:
        return float(low <= found.minimum <= high)
    # Many voxels may have one value, such as 0 around the body: below it none of them, from it on all.
    below = np.interp(np.nextafter(low, -np.inf), *_steps(values, shares))
    up_to = np.interp(high, *_steps(values, shares))
    return float(up_to - below)


def _steps(values: Sequence[float], shares: Sequence[float]) -> tuple[list[float], list[float]]:
    """Returns the distribution's points; a value that several percentiles share stands just below itself, too."""
    points, at = list[float](), list[float]()
    for value in dict.fromkeys(values):
        own = [share for other, share in zip(values, shares, strict=True) if other == value]
        if len(own) > 1:
            points.append(float(np.nextafter(value, -np.inf)))
            at.append(own[0])
        points.append(value)
        at.append(own[-1])
    return points, at


def _has_own_scale(channel: ExpectedChannel) -> bool:
    return channel.normalization.lower().removesuffix("normalization") in ("zscore", "rescaleto01")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.1 else f"{100 * share:.2g}"


def _mm(spacing: Sequence[float]) -> str:
    return " × ".join(f"{mm:.4g}" for mm in spacing) + " mm"
