"""The names under which nnU-Net would find a trainer class, read from the source: importing torch takes many seconds.

nnU-Net imports one module of its folder of trainers after the other, then of the folders that `nnUNet_extTrainer`
names, and takes the first that has the name. A folder in one of these counts where it is a package.
"""

import ast
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from nnunet_assets.processes.variables import EXTERNAL_TRAINERS


def trainer_names(variables: Mapping[str, str]) -> frozenset[str] | None:
    """Returns the names; None where they cannot be told without importing: a star import, a file that is no Python.

    Args:
        variables: The environment of the process that will look for the trainer.
    """
    found: set[str] = set()
    for folder in trainer_folders(variables):
        for path in trainer_modules(folder):
            try:
                # Not the text of a file of another encoding: the parser reads what the file declares.
                tree = ast.parse(path.read_bytes())
            except (OSError, SyntaxError, ValueError):
                return None
            found.update(_names(tree))
    return None if "*" in found else frozenset(found)


def trainer_folders(variables: Mapping[str, str]) -> Iterator[Path]:
    """Yields the folders in which nnU-Net looks, in its order; those of the environment may not be there."""
    spec = find_spec("nnunetv2")
    for package in (spec.submodule_search_locations or []) if spec else []:
        yield Path(package) / "training" / "nnUNetTrainer"
    for folder in variables.get(EXTERNAL_TRAINERS, "").split(os.pathsep):
        if folder.strip():
            yield Path(folder)


def trainer_modules(folder: Path) -> Iterator[Path]:
    """Yields the files of a folder that nnU-Net imports in search of a trainer."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix == ".py" and path.name != "__init__.py":
            yield path
        elif (path / "__init__.py").is_file():
            yield from trainer_modules(path)


def _names(tree: ast.Module) -> Iterator[str]:
    """Yields what a module has once it is imported, as far as that stands at its outermost level."""
    for node in tree.body:
        match node:
            case ast.ClassDef() | ast.FunctionDef():
                yield node.name
            case ast.ImportFrom() | ast.Import():
                yield from ((name.asname or name.name) for name in node.names)
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
