"""The choice read back from its file, `best_configuration.json` in `nnUNet_results/DATASET/nnunet_assets`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import OTHER_FORM, JsonError, load_materialized
from nnunet_assets.core.files.typed_json import dataclass_from_json
from nnunet_assets.core.selection.best_configuration import SCHEMA_VERSION, BestConfiguration
from nnunet_assets.errors import SummaryError

BEST_CONFIGURATION_FILE = "best_configuration.json"
DERIVED = ("schema_version", "optimism")
"""What follows from the rest, for other readers."""


def read_best_configuration(file: Path) -> BestConfiguration:
    """Returns the choice in a file.

    Raises:
        SummaryError: There is none, it is damaged, or a version that is not known wrote it.
    """
    content = load_materialized(file, "best_configuration", SummaryError)
    try:
        return best_configuration_of(content)
    except OTHER_FORM as error:
        raise SummaryError(
            f"{file} is not as this version writes it ({error}). Materialize best_configuration again."
        ) from error


def best_configuration_of(content: Mapping[str, Any]) -> BestConfiguration:
    """Returns the choice in what `to_json` returned.

    Raises:
        JsonError: It is of another version, or none; KeyError, TypeError or AttributeError where it is anything else.
    """
    if content["schema_version"] != SCHEMA_VERSION:
        raise JsonError(f"schema {content['schema_version']!r} in place of {SCHEMA_VERSION}")
    wanted = {name: value for name, value in content.items() if name not in DERIVED}
    found = dataclass_from_json(BestConfiguration, json.dumps(wanted))
    if found.chosen not in {one.name for one in found.candidates}:
        raise JsonError(f"{found.chosen!r} is chosen and no candidate")
    return found
