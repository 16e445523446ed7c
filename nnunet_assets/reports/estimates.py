"""Estimates as people read them, with three decimals; what is not there has a word of its own."""

from nnunet_assets.core.estimate import Estimate


def mean_and_sd(estimate: Estimate) -> str:
    """Returns the mean and its SD: `0.871 ± 0.012`, or `undefined`."""
    spread = "" if estimate.sd is None else f" ± {estimate.sd:.3f}"
    return f"{mean_text(estimate)}{spread}"


def mean_text(estimate: Estimate) -> str:
    """Returns the mean alone, or `undefined`."""
    return "undefined" if estimate.mean is None else f"{estimate.mean:.3f}"


def interval_text(estimate: Estimate) -> str:
    """Returns the interval of the mean: `0.851 to 0.892`, or `none`."""
    interval = estimate.interval
    return f"{interval.low:.3f} to {interval.high:.3f}" if interval else "none"


def median_and_quartiles(estimate: Estimate) -> str:
    """Returns the median and the quartiles: `0.881 [0.802, 0.913]`, or `undefined`."""
    if estimate.median is None:
        return "undefined"
    quartiles = "" if estimate.q1 is None else f" [{estimate.q1:.3f}, {estimate.q3:.3f}]"
    return f"{estimate.median:.3f}{quartiles}"
