"""Refuses plans and dataset.json files that name code which is neither nnU-Net's own nor named by the user.

nnU-Net's own is what is defined, not merely imported, in the folder where nnU-Net looks for it. A network's class may
be one of `dynamic_network_architectures`, of `torch.nn.modules` or of nnU-Net itself, by the path where it is defined
(or by `torch.nn.NAME`), and nothing that is reached from there through attributes. That is read in the source of the
installed packages, without importing them: the same answer in a process that must not load torch. A process that has
torch looks in addition at the class itself (`refuse_foreign_classes`), before nnU-Net gets to see the name.
"""

import ast
import builtins
import sys
from collections.abc import Container, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.plans_code import (
    CodeName,
    Kind,
    WrongForm,
    code_in_dataset_json,
    code_in_plans,
    shortened,
)
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.errors import ForeignCodeError, first_offenders
from nnunet_assets.processes.variables import TRUSTED_CODE_VARIABLE
from nnunet_assets.settings import trusted_code

FOLDERS: Mapping[Kind, str] = {
    "preprocessor": "preprocessing",
    "normalization": "preprocessing/normalization",
    "resampling": "preprocessing/resampling",
    "reader": "imageio",
    "label_manager": "utilities/label_handling",
}
"""Where in nnunetv2 it looks for them; a planner's name is written down, and never looked up."""

NETWORK_PACKAGES = ("dynamic_network_architectures", "torch.nn.modules", "nnunetv2")


def refuse_foreign_code(
    source: Path | str,
    trusted: Container[str],
    *,
    plans: Any = None,
    dataset_json: Any = None,
    is_to_run: bool = True,
) -> None:
    """Passes where all code that the plans, or a dataset.json, name is nnU-Net's own or trusted.

    Args:
        source: The file that they are from, for the message.
        trusted: What the user names (`settings.trusted_code`).
        plans: The content; None: not looked at.
        dataset_json: The content; None: not looked at.
        is_to_run: Whether nnU-Net is to read them next. Where it is not, a bare word for a network by which nothing is
            found here may stay: whoever trains or predicts with these plans asks again.

    Raises:
        ForeignCodeError: It says which key holds which word, and what to do.
    """
    found = [
        *(code_in_plans(plans) if plans is not None else ()),
        *(code_in_dataset_json(dataset_json) if dataset_json is not None else ()),
    ]
    if wrong := [f"{entry.key} {entry.problem}" for entry in found if isinstance(entry, WrongForm)]:
        raise ForeignCodeError(
            f"{source} is not as nnU-Net writes it: {first_offenders(wrong)}. Restore the file that nnU-Net wrote."
        )
    names = [entry for entry in found if isinstance(entry, CodeName)]
    foreign = [name for name in names if not _is_trusted(name, trusted) and not _is_own(name)]
    _refuse(source, [name for name in foreign if is_to_run or not _is_of_nothing(name)])


def refuse_foreign_classes(source: Path | str, trusted: Container[str], plans: Any) -> None:
    """Passes where what nnU-Net would build a network from are classes of networks; for a process that loads torch.

    Args:
        source: As for `refuse_foreign_code`, which comes first: here the modules that define the names are imported.
        trusted: As for `refuse_foreign_code`.
        plans: The content.

    Raises:
        ForeignCodeError: A name is of something else.
    """
    found = [name for name in code_in_plans(plans) if isinstance(name, CodeName) and name.kind == "network"]
    _refuse(source, [name for name in found if not _is_trusted(name, trusted) and not _is_network_class(name.value)])


def refuse_foreign_code_in(
    plans_file: Path | None, dataset_json_file: Path, trusted: Container[str], *, is_to_run: bool = True
) -> None:
    """Passes where both files, as far as they are there, name no foreign code (`refuse_foreign_code`).

    Args:
        plans_file: None: no plans are read.
        dataset_json_file: The dataset.json beside them.
        trusted: As for `refuse_foreign_code`.
        is_to_run: As for `refuse_foreign_code`.

    Raises:
        ForeignCodeError: One does.
        DamagedFileError: One is no JSON.
    """
    if plans_file is not None:
        refuse_foreign_code(plans_file, trusted, plans=read_json(plans_file), is_to_run=is_to_run)
    refuse_foreign_code(dataset_json_file, trusted, dataset_json=read_json(dataset_json_file))


def refuse_foreign_code_in_child(plans_file: Path | None, dataset_json_file: Path) -> None:
    """Passes where both files name no foreign code, and the plans only classes of networks; before nnU-Net reads them.

    Raises:
        ForeignCodeError, DamagedFileError: As `refuse_foreign_code_in`.
    """
    trusted = trusted_code()
    refuse_foreign_code_in(plans_file, dataset_json_file, trusted)
    if plans_file is not None:
        refuse_foreign_classes(plans_file, trusted, read_json(plans_file) or {})


def _is_trusted(name: CodeName, trusted: Container[str]) -> bool:
    return isinstance(name.value, str) and name.value in trusted


def _refuse(source: Path | str, foreign: list[CodeName]) -> None:
    if not foreign:
        return
    offenders = first_offenders([f"{name.key} is {shortened(name.value)}" for name in foreign])
    remedy = "use plans that nnU-Net made"
    if all(name.kind == "reader" for name in foreign):
        readers = _defined_below(FOLDERS["reader"], is_function=False) - {"BaseReaderWriter"}
        remedy = f"name one of nnU-Net's readers ({', '.join(sorted(readers))})"
    raise ForeignCodeError(
        f"{source} names code that is neither nnU-Net's own nor named by you, and nnU-Net would run it: {offenders}. "
        f"If you know it and trust it, add {'that name' if len(foreign) == 1 else 'these names'} to "
        f"{TRUSTED_CODE_VARIABLE} in the environment or the project's .env (separated by commas); otherwise {remedy}."
    )


def _is_of_nothing(name: CodeName) -> bool:
    """Says whether it is one word for a network that is neither a module nor a function of Python's here."""
    word = name.value
    is_word = name.kind == "network" and name.is_name and "." not in word
    return is_word and not hasattr(builtins, word) and word not in sys.modules and find_spec(word) is None


def _is_own(name: CodeName) -> bool:
    if not name.is_name:
        return False
    if name.kind == "network":
        return _is_own_network(name.value)
    return name.kind == "planner" or name.value in _defined_below(FOLDERS[name.kind], name.kind == "resampling")


def _is_own_network(name: str) -> bool:
    module, _, class_name = name.rpartition(".")
    if module in ("torch.nn", "torch.nn.modules"):
        return class_name in _exported_by_torch()
    if not any(module == package or module.startswith(f"{package}.") for package in NETWORK_PACKAGES):
        return False
    file = _source_of(module)
    if file is not None and class_name in _defined_in(file, is_function=False):
        return True
    # As nnU-Net: a class of that package that has moved is found by its name.
    return module.startswith("dynamic_network_architectures.") and class_name in _architectures()


def _is_network_class(name: str) -> bool:
    import torch

    module, _, class_name = name.rpartition(".")
    file = _source_of(module)
    if module.startswith("dynamic_network_architectures.") and (file is None or class_name not in _names(file)):
        moved = [file.stem for file in _architecture_files() if class_name in _names(file)]
        module = f"dynamic_network_architectures.architectures.{moved[0]}"
    found = getattr(import_module(module), class_name, None)
    return isinstance(found, type) and issubclass(found, torch.nn.Module)


def _architecture_files() -> list[Path]:
    return sorted((_folder("dynamic_network_architectures") / "architectures").glob("*.py"))


def _architectures() -> set[str]:
    return set().union(*map(_names, _architecture_files()))


def _names(file: Path) -> frozenset[str]:
    return _defined_in(file, is_function=False)


def _source_of(module: str) -> Path | None:
    """Returns a module's source file, its package's own where it is one; no module is imported."""
    package, *parts = module.split(".")
    place = _folder(package).joinpath(*parts)
    files = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in files if file.is_file()), None)


@cache
def _folder(package: str) -> Path:
    spec = find_spec(package)  # of a package at the top, which imports nothing
    if spec is None or not spec.submodule_search_locations:
        raise ForeignCodeError(f"The package {package} is not installed. Install nnU-Net again: pip install nnunetv2.")
    return Path(next(iter(spec.submodule_search_locations)))


@cache
def _exported_by_torch() -> frozenset[str]:
    tree = _tree(_folder("torch") / "nn" / "modules" / "__init__.py")
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return frozenset(name.name for node in imports for name in node.names if name.name[:1].isupper())


@cache
def _defined_below(folder: str, is_function: bool) -> frozenset[str]:
    files = (_folder("nnunetv2") / folder).rglob("*.py")
    return frozenset(name for file in files for name in _defined_in(file, is_function))


@cache
def _defined_in(file: Path, is_function: bool) -> frozenset[str]:
    kind = ast.FunctionDef if is_function else ast.ClassDef
    return frozenset(node.name for node in _tree(file).body if isinstance(node, kind))


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_bytes())
