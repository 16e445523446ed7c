"""A comparison read back from its file, `comparison.json` in `nnUNet_results/DATASET/nnunet_assets`.

Schema 1 has the same means and ranks, but differences over the cases that both experiments have defined, tests by
Wilcoxon corrected by Holm, and the rank-biserial correlation for an effect size. It is read as it was made, and its
notes say so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.comparison.comparison import (
    OLDER_SCHEMAS,
    SCHEMA_VERSION,
    Comparison,
    Difference,
    NoiseFloor,
    Standing,
)
from nnunet_assets.core.files.json_file import OTHER_FORM, load_materialized
from nnunet_assets.core.statistics.estimate import Bootstrap, Interval
from nnunet_assets.core.statistics.multiplicity import SeedNoise
from nnunet_assets.errors import SummaryError

COMPARISON_FILE = "comparison.json"

MADE_FROM = "made_from"
"""In it, beside what `Comparison.to_json` says: name of each experiment to the digest of its summary's content."""


def read_comparison(file: Path) -> Comparison:
    """Returns the comparison in a file.

    Raises:
        SummaryError: There is none, it is damaged, or a version that is not known wrote it.
    """
    try:
        return comparison_of(load_materialized(file, "comparison", SummaryError))
    except ValueError as error:
        raise SummaryError(
            f"{file} is not as this version writes it ({error}). Materialize comparison again."
        ) from error


def comparison_of(content: Mapping[str, Any]) -> Comparison:
    """Returns the comparison in the content of its file.

    Raises:
        ValueError: A version that is not known wrote it, or it is damaged.
    """
    try:
        if content["schema_version"] == SCHEMA_VERSION:
            return _comparison(content)
        if content["schema_version"] in OLDER_SCHEMAS:
            return _comparison({**content, "differences": [_of_schema_1(one) for one in content["differences"]]})
        problem = f"schema {content['schema_version']!r} in place of {SCHEMA_VERSION}"
    except OTHER_FORM as error:
        problem = repr(error)
    raise ValueError(problem)


def _comparison(content: Mapping[str, Any]) -> Comparison:
    return Comparison(
        dataset=content["dataset"],
        experiments=tuple(content["experiments"]),
        left_out=dict(content["left_out"]),
        repeats=tuple(map(tuple, content["repeats"])),
        reference=content["reference"],
        n_cases=content["n_cases"],
        bootstrap=Bootstrap(**content["bootstrap"]) if content["bootstrap"] else None,
        differences=tuple(
            Difference(**{**one, "interval": Interval(**one["interval"]) if one["interval"] else None})
            for one in content["differences"]
        ),
        standings=tuple(Standing(**one) for one in content["standings"]),
        noise=tuple(NoiseFloor(**{**one, "noise": SeedNoise(**one["noise"])}) for one in content["noise"]),
        notes=tuple(content["notes"]),
        diagonal_mm=content.get("diagonal_mm"),
        schema=content["schema_version"],
    )


def _of_schema_1(difference: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"p_holm": "p_corrected", "rank_biserial": "effect"}
    kept = {renamed.get(name, name): value for name, value in difference.items() if name != "n_tested"}
    return {**kept, "n_left_better": None, "n_right_better": None}
