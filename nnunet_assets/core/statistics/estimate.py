"""A mean, the spread of what it was taken over, and how sure it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, median, quantiles, stdev
from typing import Any, Literal

CONFIDENCE = 0.95
"""Of every confidence interval."""


MIN_PATIENTS = 6
"""With fewer there is no interval: it would say more about the method than about the patients."""

MIN_PATIENTS_UNBOUNDED = 60
"""As above, of lengths and volumes: of 59 patients 5 % of all sets hold none of the failures that befall one in 20."""

FULL_WEIGHT_PATIENTS = 30
"""Up to so many an interval allows for every failure that none of them shows; see `mean_intervals`."""

SAME_SCORE = 1e-12
"""Two computations of one Dice from the same counts differ by no more."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the unit of what it is of; see `mean_intervals`."""

    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """How the confidence intervals of a summary or comparison were made.

    Attributes:
        clustered_by: What was drawn: patients with all their cases, or single cases where it is not known whose they
            are.
        n_clusters: Patients, or cases.
        n_resamples: Times that weights of them, halves of them or, in older versions, so many of them were drawn; of
            few patients the number of all halves.
        seed: The same seed gives the same draws.
        confidence: 0.95.
        method: `bayesian`, as `mean_intervals` says; `halves`, of differences, as `halves` says; or `bca`, as versions
            made them whose files do not say it.
    """

    clustered_by: Literal["patient", "case"]
    n_clusters: int
    n_resamples: int
    seed: int
    confidence: float = CONFIDENCE
    method: Literal["bca", "bayesian", "halves"] = "bca"

    def to_json(self) -> dict[str, Any]:
        """Returns it as JSON values, as the version wrote it that made these intervals."""
        content = asdict(self)
        return content if self.method != "bca" else {key: value for key, value in content.items() if key != "method"}


@dataclass(frozen=True)
class Estimate:
    """A mean and the spread of what it was taken over.

    Attributes:
        mean: None where no value is defined.
        sd: Standard deviation with n - 1; None with fewer than two defined values.
        n: Values there are: cases or folds.
        n_defined: Values that are defined.
        median: None where no value is defined.
        q1: The first quartile, interpolated linearly between the sorted values, the smallest and the largest included
            (as numpy and R do by default); None with fewer than two defined values.
        q3: The third quartile, as the first.
        interval: 95 % confidence interval of the mean; None: not estimated, or of too few patients.
    """

    mean: float | None
    sd: float | None
    n: int
    n_defined: int
    median: float | None = None
    q1: float | None = None
    q3: float | None = None
    interval: Interval | None = None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Estimate":
        """Returns the estimate over the values that are defined (not None), without an interval."""
        defined = [value for value in values if value is not None]
        q1, _, q3 = quantiles(defined, n=4, method="inclusive") if len(defined) > 1 else (None, None, None)
        return cls(
            mean=mean_of_defined(values),
            sd=stdev(defined) if len(defined) > 1 else None,
            n=len(values),
            n_defined=len(defined),
            median=median(defined) if defined else None,
            q1=q1,
            q3=q3,
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Estimate":
        """Returns what was written with `asdict`, by this version or an older one.

        Those wrote the ends of the interval of an evaluation as `ci_low` and `ci_high`.
        """
        numbers: dict[str, Any] = {
            field.name: content.get(field.name) for field in fields(cls) if field.name != "interval"
        }
        ends = content.get("interval") or {"low": content.get("ci_low"), "high": content.get("ci_high")}
        return cls(**numbers, interval=None if None in ends.values() else Interval(**ends))


def mean_of_defined(values: Sequence[float | None]) -> float | None:
    """Returns the mean of the values that are not None; None where all are."""
    defined = [value for value in values if value is not None]
    return fmean(defined) if defined else None
