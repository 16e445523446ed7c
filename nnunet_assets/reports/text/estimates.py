"""Estimates as people read them, with the decimals that their unit asks for; what is not there has its own word."""

from nnunet_assets.core.statistics.estimate import Estimate
from nnunet_assets.core.text.numbers import text_of

SCORE = "score"
"""Any metric without a unit."""


def mean_and_sd(estimate: Estimate, metric: str = SCORE) -> str:
    """Returns the mean and its SD: `0.871 ± 0.012`, or `undefined`."""
    spread = "" if estimate.sd is None else f" ± {text_of(metric, estimate.sd)}"
    return f"{mean_text(estimate, metric)}{spread}"


def mean_text(estimate: Estimate, metric: str = SCORE) -> str:
    """Returns the mean alone, or `undefined`."""
    return "undefined" if estimate.mean is None else text_of(metric, estimate.mean)


def interval_text(estimate: Estimate, metric: str = SCORE) -> str:
    """Returns the interval of the mean: `0.851 to 0.892`, or `none`."""
    interval = estimate.interval
    return f"{text_of(metric, interval.low)} to {text_of(metric, interval.high)}" if interval else "none"


def median_and_quartiles(estimate: Estimate, metric: str = SCORE) -> str:
    """Returns the median and the quartiles: `0.881 [0.802, 0.913]`, or `undefined`."""
    if estimate.median is None:
        return "undefined"
    quartiles = ""
    if estimate.q1 is not None and estimate.q3 is not None:
        quartiles = f" [{text_of(metric, estimate.q1)}, {text_of(metric, estimate.q3)}]"
    return f"{text_of(metric, estimate.median)}{quartiles}"
