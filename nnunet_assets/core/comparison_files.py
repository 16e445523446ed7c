"""A comparison read back from its file, `comparison.json` in `nnUNet_results/DATASET/nnunet_assets`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.comparison import SCHEMA_VERSION, Comparison, Difference, NoiseFloor, Standing
from nnunet_assets.core.estimate import Bootstrap, Interval
from nnunet_assets.core.json_file import load_json
from nnunet_assets.core.statistics import SeedNoise
from nnunet_assets.errors import SummaryError

COMPARISON_FILE = "comparison.json"


def read_comparison(file: Path) -> Comparison:
    """Returns the comparison in a file.

    Raises:
        SummaryError: There is none, it is damaged, or another version wrote it.
    """
    try:
        content = load_json(file)
    except FileNotFoundError:
        raise SummaryError(f"{file} is missing. Materialize comparison first.") from None
    except ValueError as error:
        raise SummaryError(f"{file} is not valid JSON ({error}). Materialize comparison again.") from None
    try:
        if content["schema_version"] == SCHEMA_VERSION:
            return _comparison(content)
        problem = f"schema {content['schema_version']!r} in place of {SCHEMA_VERSION}"
    except (KeyError, TypeError, AttributeError) as error:
        problem = repr(error)
    raise SummaryError(f"{file} is not as this version writes it ({problem}). Materialize comparison again.")


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
    )
