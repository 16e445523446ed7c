"""A project's `workspace.yaml`, by which Dagster's own commands find the code location, and from where that imports."""

from pathlib import Path

import yaml

from nnunet_assets.core.provenance import write_atomically

WORKSPACE_FILE = "workspace.yaml"
MODULE = "nnunet_assets.definitions"

# What every project got up to version 0.1.0. It changes nothing but that modules in the project's folder go before all
# others: the folder of experiments is found without it.
_WRITTEN_BEFORE = "      location_name: nnunet_assets\n      working_directory: .\n"
_WRITTEN_NOW = "      location_name: nnunet_assets\n"


def imports_from(project: Path) -> str | None:
    """Returns the folder from which the code location imports before all others; None: there is none.

    A file that is missing, or is no YAML, names none: Dagster says itself what is wrong with it.
    """
    try:
        declared = yaml.safe_load((project / WORKSPACE_FILE).read_text(encoding="utf-8"))
        modules = [entry["python_module"] for entry in declared["load_from"] if "python_module" in entry]
        named = [module.get("working_directory") for module in modules if module.get("module_name") == MODULE]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None
    return next((str(folder) for folder in named if folder), None)


def stop_importing_from_project(project: Path) -> str | None:
    """Takes the working directory that earlier versions wrote out of the file; returns a sentence where it did."""
    file = project / WORKSPACE_FILE
    if imports_from(project) != ".":
        return None
    text = file.read_text(encoding="utf-8")
    if _WRITTEN_BEFORE not in text:
        return None
    write_atomically(file, text.replace(_WRITTEN_BEFORE, _WRITTEN_NOW).encode())
    return f"{file}: removed `working_directory: .`, by which a random.py beside it would take over every run."
