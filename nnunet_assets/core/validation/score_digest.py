"""What nnU-Net's `validation/summary.json` says, whatever the file looks like: a digest that names the scores.

A validation that is run again writes the same scores under other paths (a moved results folder), another version of
nnU-Net in another order or format. The scores are a case's metrics by label: that is what the digest is of, each number
as the float that it is. The means are not read anywhere, and are no part of it. A digest names its scheme, `scores-1:`,
so that one of a later scheme is never compared with it.
"""

import hashlib
import json
import math
import re
from typing import Any

from nnunet_assets.core.files.json_file import OTHER_FORM, parse_json

SCHEME = "scores-1"

SUMMARY_FILE = "validation/summary.json"
"""Where nnU-Net writes the scores of a fold, relative to the fold's folder."""

SCORES = ("Dice", "IoU")
COUNTS = ("FN", "FP", "TN", "TP", "n_pred", "n_ref")
"""What nnU-Net 2.0 to 2.8 writes of a label in a case, beside the scores; what a later one adds is read by nobody."""


def file_name_of(path: str) -> str:
    r"""Returns the name of a file by its path, which may be of Linux, macOS or Windows, and of any machine.

    On Windows nnU-Net writes `C:\results\...\fold_0\validation\case.nii.gz`, also with `/` in the part that a variable
    of the environment gave. Elsewhere a backslash may be part of a name, as it is right after `/validation/`.
    """
    folder, _, name = path.rpartition("/")
    is_name_of_linux = re.fullmatch(r"/[^/].*/validation", folder) is not None
    return name if is_name_of_linux else re.split(r"[/\\]", path)[-1]


def scores_digest(content: bytes) -> str | None:
    """Returns what names the scores in a summary.json; None: it is not nnU-Net's, or torn."""
    try:
        entries = parse_json(content)["metric_per_case"]
        cases = sorted([file_name_of(entry["prediction_file"]), _labels(entry["metrics"])] for entry in entries)
        canonical = json.dumps(cases, ensure_ascii=True, separators=(",", ":"))
    except OTHER_FORM:
        return None
    return f"{SCHEME}:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _labels(metrics: dict[str, Any]) -> list[list[Any]]:
    """Returns each label (its value, or the sorted values of a region) with its metrics, in the order of the labels."""
    return sorted(
        [sorted(map(int, re.findall(r"\d+", key))), [*_overlap(values), *_counts(values)]]
        for key, values in metrics.items()
    )


def _overlap(values: dict[str, Any]) -> list[str]:
    return [_canonical(values[name]) for name in SCORES]


def _counts(values: dict[str, Any]) -> list[str]:
    return [_canonical(values[name]) if name in values else "absent" for name in COUNTS]


def _canonical(value: Any) -> str:
    """Returns the text of a number, the same for 1 and 1.0 and 1e0; `none` where it is undefined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return (float(value) + 0.0).hex()  # -0.0 is 0
