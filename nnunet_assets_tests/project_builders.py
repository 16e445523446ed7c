"""Project folders for tests, written out as a user would write them."""

from pathlib import Path
from textwrap import dedent

import pytest

from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError

DATASET = """
type: nnunet_assets.components.NnunetDataset
attributes:
  dataset: Dataset004_Hippocampus
"""
EXPERIMENT = """
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset004_Hippocampus
  configuration: 2d
"""


def write_project(root: Path, files: dict[str, str]) -> Path:
    """Writes files of `experiments` (name to text; the text's first empty line and indentation do not count)."""
    (root / "experiments").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / "experiments" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).removeprefix("\n"))
    return root


def errors_of(root: Path, files: dict[str, str]) -> list[str]:
    """Returns the errors of a project, without the heading and without the folder that all files are in."""
    with pytest.raises(ConfigError) as caught:
        read_project(write_project(root, files))
    return [line.removeprefix("experiments/") for line in str(caught.value).splitlines()[1:]]


def documents(*texts: str) -> str:
    """Joins documents to the text of one file."""
    return "---\n".join(dedent(text).removeprefix("\n") for text in texts)
