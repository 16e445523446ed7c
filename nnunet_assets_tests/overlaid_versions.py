"""Other versions of installed packages, as far as their metadata goes: a folder that stands first on the path."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path


def overlay(folder: Path, versions: Mapping[str, str]) -> Path:
    """Writes metadata by which packages have these versions for whoever has the folder first on its path."""
    for name, text in versions.items():
        info = folder / f"{name}-{text}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {text}\n")
    return folder


def next_version(name: str, part: int) -> str:
    """Returns the installed version with one of its numbers raised: part 1 is the minor one, 2 the last."""
    numbers = [int(number) for number in version(name).partition("+")[0].split(".")[:3]]
    return ".".join(str(number + (index == part)) for index, number in enumerate(numbers))


def with_path(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Returns the environment of a process that sees the overlaid versions."""
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH")]))}
