"""A project's `workspace.yaml`, by which Dagster's own commands find the code location, and from where that imports.

While Dagster imports a code location, a folder goes before all others: the one that the file names, or the current one,
where a `random.py` or an `nnunet_assets` would take over every run. `experiments` is found without it.
"""

import os
import re
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.declarations.yaml_files.settings_file import readable_settings

WORKSPACE_FILE = "workspace.yaml"
MODULE = "nnunet_assets.definitions"
NOWHERE = os.devnull

# As every project got it, with the working directory of version 0.1.0 or without any.
_WRITTEN = re.compile(r"^( *)location_name: nnunet_assets\n(?: *working_directory: \.\n)?", re.MULTILINE)


def imports_from(project: Path) -> str | None:
    """Returns the folder from which the code location imports before all others; None: there is none.

    A file that is missing, or is no YAML, names none: Dagster says itself what is wrong with it.
    """
    try:
        declared = readable_settings(project / WORKSPACE_FILE)
        modules = [entry["python_module"] for entry in declared["load_from"] if "python_module" in entry]
        named = [module.get("working_directory", ".") for module in modules if module.get("module_name") == MODULE]
    except (AttributeError, KeyError, TypeError):
        return None
    return next((str(folder) for folder in named if folder != NOWHERE), None)


def stop_importing_from_project(project: Path) -> str | None:
    """Makes a file that `init` wrote name no folder to import from; returns a sentence where it did."""
    file = project / WORKSPACE_FILE
    if imports_from(project) != ".":
        return None
    text = file.read_text(encoding="utf-8")
    changed = _WRITTEN.sub(rf"\1location_name: nnunet_assets\n\1working_directory: {NOWHERE}\n", text, count=1)
    if changed == text:
        return None
    write_atomically(file, changed.encode())
    return f"{file} has working_directory: {NOWHERE} now: a random.py beside it would take over every run."
