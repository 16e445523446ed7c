"""Whether locks keep two processes apart, on this machine and between it and those of the cluster; and their clocks."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.engines.lock_probe import LockProof, prove_locks
from nnunet_assets.engines.named import queue_named
from nnunet_assets.errors import ConfigError, NnunetAssetsError
from nnunet_assets.project_folder.network_drives import mount_of
from nnunet_assets.settings import Settings

HERE_SECONDS, QUEUE_SECONDS = 60.0, 900.0
CLOCK_SECONDS = 5.0

_SMALL: dict[str, Any] = {"gpus": 0, "gpu_type": None, "cpus": 1, "memory_gb": 1.0, "custom_resources": {}}
"""What the job gets beside what the engine's declaration says of partition, account, modules and the like."""


def lock_findings(settings: Settings, progress: Progress, *, on_engine: bool) -> Iterator[Finding]:
    """Tries locks in the folders that several processes work in.

    Args:
        settings: The project's.
        progress: Hears of a wait.
        on_engine: Whether a job of each cluster that is declared tries them, too.
    """
    yield from _tried("locks", None, Resources(), settings, progress)
    for kind, resources in _engines(settings).items():
        what = f"locks by {kind}"
        if on_engine:
            yield from _tried(what, kind, resources, settings, progress)
        else:
            yield Finding("ok", what, "not tried; `nnunet-assets doctor --probe` has a small job try them on a node")


def _tried(
    what: str, kind: str | None, resources: Resources, settings: Settings, progress: Progress
) -> Iterator[Finding]:
    folders, variables = _folders(settings), settings.child_environment()
    queue = queue_named(kind, settings.cluster_environment()) if kind else None
    seconds = QUEUE_SECONDS if kind else HERE_SECONDS
    try:
        proof = prove_locks(folders, queue, resources, variables, seconds=seconds, progress=progress)
    except NnunetAssetsError as error:
        yield Finding("error", what, str(error))
        return
    except (OSError, UnicodeError) as error:  # a full disk; a name that is no text in this terminal's locale
        yield Finding("warning", what, f"could not be tried: {error}.", "Mend that, and call this again.")
        return
    yield from _found(what, folders, proof)


def _found(what: str, folders: list[Path], proof: LockProof) -> Iterator[Finding]:
    for folder in proof.without_locks:
        found = f"the file system of {folder} ({_mounted(folder)}) has no locks."
        yield Finding("error", what, found, "Have it mounted with locks, or move the folder to another one.")
    between = f"this machine and {proof.host}" if proof.is_other_host else "two processes of this machine"
    for folder in proof.broken:
        found = f"in {folder} ({_mounted(folder)}) they do not keep {between} apart: one took what the other held."
        remedy = (
            "Have it mounted so that locks hold across machines (NFS 4 without local_lock or nolock, Lustre with flock "
            "and not localflock); until then let one machine alone work on the project."
        )
        yield Finding("error", what, found, remedy)
    if not proof.broken and not proof.without_locks:
        yield Finding("ok", what, f"they keep {between} apart in {', '.join(map(str, folders))}")
    if proof.is_other_host:
        yield _of_clocks(f"clock of {proof.host}", proof)


def _of_clocks(what: str, proof: LockProof) -> Finding:
    off, within = proof.clock_seconds, proof.clock_within
    found = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} this machine's (within {within:.1f} s)"
    if abs(off) - within > CLOCK_SECONDS:
        remedy = "Let both follow a time server: what was left behind, and how long a fold is silent, is told by ages."
        return Finding("warning", what, f"{found}.", remedy)
    return Finding("ok", what, found)


def _folders(settings: Settings) -> list[Path]:
    """Returns one folder on each file system that is worked in, of those that are there and can be written."""
    found: dict[int, Path] = {}
    for folder in (settings.roots.results, settings.roots.preprocessed, settings.project):
        if folder.is_dir() and os.access(folder, os.W_OK):
            found.setdefault(folder.stat().st_dev, folder)
    return list(found.values())


def _mounted(folder: Path) -> str:
    kind, mount = mount_of(folder)
    return f"{kind} at {mount}" if kind else "of an unknown kind"


def _engines(settings: Settings) -> dict[str, Resources]:
    """Returns the clusters that folds train on, each with what a small job gets there."""
    try:
        project = declared_if_any(settings.project)
    except ConfigError:  # told by whoever looks at the declarations
        return {}
    found: dict[str, Resources] = {}
    for experiment in project.in_jobs:
        engine = project.engine_of(experiment)
        limit: dict[str, Any] = {"time_limit_minutes": 5} if engine.chosen == "slurm" else {}
        small = replace(engine.resources(device="cpu", num_gpus=0), **_SMALL, **limit)
        found.setdefault(engine.chosen, small)
    return found
