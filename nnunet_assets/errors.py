"""Every error that this package raises on purpose.

A message is a full sentence: what is wrong, the value, where it came from, what to do. `core`, `nnunet`, `tracking` and
`reports` raise; only `assets` turns an error into a `dagster.Failure`, and only `cli` into an exit code.
"""

from collections.abc import Sequence


class NnunetAssetsError(Exception):
    """The base of the tree: whatever a person can act on."""


class ConfigError(NnunetAssetsError):
    """A declaration (YAML, option, environment variable) is wrong."""


class DatasetError(NnunetAssetsError):
    """A raw dataset is missing, incomplete or contradicts its dataset.json."""


class PlanningError(NnunetAssetsError):
    """Planning or preprocessing failed, or did not yield the wanted configuration."""


class FoldError(NnunetAssetsError):
    """A fold cannot be trained, or its training ended without a result."""


class SummaryError(NnunetAssetsError):
    """Fold results cannot be read, or must not be averaged with each other."""


class EvaluationError(NnunetAssetsError):
    """Predictions cannot be compared with their references."""


class TrackingError(NnunetAssetsError):
    """The tracking server or store does not answer, or refuses what it is asked."""


class LockingError(NnunetAssetsError):
    """A file system cannot lock files."""


class DeviceError(NnunetAssetsError):
    """The device asked for is not there."""


def first_offenders(offenders: Sequence[object], shown: int = 5) -> str:
    """Returns the first few offenders and the count of the others: "a, b, c, d, e and 7 more"."""
    text = ", ".join(str(offender) for offender in offenders[:shown])
    hidden = len(offenders) - shown
    return f"{text} and {hidden} more" if hidden > 0 else text
