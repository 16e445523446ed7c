"""A YAML file of another program's settings, such as `dagster.yaml`: the mapping that it holds, read within bounds."""

from pathlib import Path
from typing import Any

from nnunet_assets.declarations.yaml_files.yaml_source import read_documents
from nnunet_assets.errors import ConfigError


def read_settings(file: Path) -> dict[str, Any]:
    """Returns the settings that a file holds; none where it is empty.

    Raises:
        ConfigError: It cannot be read, is no YAML, or holds anything but one mapping; the line is named.
    """
    documents, problems = read_documents(file)
    if problems:
        raise ConfigError(f"{file}, line {problems[0].line}: {problems[0].sentence}")
    if len(documents) > 1:
        raise ConfigError(f"{file}, line {documents[1].line}: a second document begins here. Remove the line `---`.")
    value = documents[0].value if documents else None
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{file}, line {documents[0].line}: must be settings, one `name: value` a line.")
    return value or {}


def readable_settings(file: Path) -> dict[str, Any]:
    """Returns the settings that a file holds; none where it cannot be read, of which its own program says more."""
    try:
        return read_settings(file)
    except ConfigError:
        return {}
