"""Folders, disks, shared memory and worker processes."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.core.text.numbers import beside
from nnunet_assets.processes.variables import (
    COMPILE,
    EXTERNAL_TRAINERS,
    FOLDERS,
    FOLDS_AT_ONCE_VARIABLE,
    FOLDS_PER_GPU_VARIABLE,
)
from nnunet_assets.processes.workers import worker_variables
from nnunet_assets.project_folder.network_drives import network_drives
from nnunet_assets.settings import Settings

GIB = 1024**3
MIN_FREE_GIB = 10
MIN_SHARED_GIB = 1
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # looked at, not written to


def folder_findings(settings: Settings) -> Iterator[Finding]:
    """Looks at nnU-Net's three folders, the project's file system and the free space of each disk."""
    for variable, text in settings.roots.environment().items():
        origin = "set" if settings.variables.get(variable) else "in the project"
        yield _root_finding(variable, Path(text), origin)
    yield from _filesystem_findings(settings)
    disks: dict[int, Path] = {}
    for folder in (settings.project, settings.roots.preprocessed, settings.roots.results):
        there = _nearest_existing(folder)
        disks.setdefault(there.stat().st_dev, there)
    for folder in disks.values():
        yield _space_finding(folder)


def _root_finding(variable: str, folder: Path, origin: str) -> Finding:
    what = f"{variable} ({origin})"
    there = _nearest_existing(folder)
    if not there.is_dir():
        return Finding("error", what, f"{folder}: {there} is a file.", "Name a folder, or move the file away.")
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = f"Give this user the right to write, or set {variable} to another folder."
        return Finding("error", what, f"{folder}: {there} cannot be written.", remedy)
    if there != folder and variable == FOLDERS[0] and origin == "set":
        return Finding("warning", what, f"{folder} is not there.", "Correct it, unless the data is still to come.")
    return Finding("ok", what, str(folder) if there == folder else f"{folder} (made when it is needed)")


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if _exists(path))


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # Path.exists raises where a folder above cannot be searched
        return False
    return True


def _filesystem_findings(settings: Settings) -> Iterator[Finding]:
    for drive in network_drives(settings):
        yield Finding("warning", "file system", str(drive), drive.remedy)


def _space_finding(folder: Path) -> Finding:
    free_gib = shutil.disk_usage(folder).free / GIB
    found = f"{beside(free_gib, MIN_FREE_GIB, digits=0)} GiB free at {folder}"
    if free_gib < MIN_FREE_GIB:
        remedy = "Preprocessed cases and checkpoints take tens of GiB: make room, or set nnU-Net's variables elsewhere."
        return Finding("warning", "disk", f"{found}.", remedy)
    return Finding("ok", "disk", found)


def memory_findings() -> Iterator[Finding]:
    """Looks at the shared memory, through which augmentation workers hand over their batches (Linux)."""
    if not SHARED_MEMORY.is_dir():
        return
    size_gib = shutil.disk_usage(SHARED_MEMORY).total / GIB
    found = f"{beside(size_gib, MIN_SHARED_GIB, digits=1)} GiB in {SHARED_MEMORY}"
    if size_gib < MIN_SHARED_GIB:
        remedy = "Workers that do not fit end with a bus error. In Docker: --shm-size=8g or --ipc=host."
        yield Finding("warning", "shared memory", f"{found}.", remedy)
    else:
        yield Finding("ok", "shared memory", found)


def worker_findings(variables: Mapping[str, str], wrong: Collection[str] = ()) -> Iterator[Finding]:
    """Looks at how many processes a fold will start, and how folds are to share GPUs and processors.

    Args:
        variables: The environment, with valid values.
        wrong: Names of variables whose values were found to be wrong already.
    """
    n_cpus = os.cpu_count() or 1
    fitted = worker_variables({})
    for name in (name for name in fitted if name not in wrong):
        value = variables.get(name) or fitted[name]
        if not variables.get(name):
            yield Finding("ok", name, f"{value}, fitted to {n_cpus} processors")
        elif int(value) > n_cpus:
            found = f"{value}, as set, on {n_cpus} processors: folds starve each other."
            yield Finding("warning", name, found, f"Unset {name}: then it is fitted to the machine.")
        else:
            yield Finding("ok", name, f"{value}, as set, on {n_cpus} processors")
    for name in (FOLDS_PER_GPU_VARIABLE, FOLDS_AT_ONCE_VARIABLE, COMPILE, EXTERNAL_TRAINERS):
        if setting := variables.get(name):
            yield Finding("ok", name, f"{setting}, as set")
