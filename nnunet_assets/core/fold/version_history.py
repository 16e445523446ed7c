"""Which versions of the programs trained a fold, from which epoch on: an interruption may bring others.

On disk, in `fold_k/.nnunet_assets/versions.json`: the stages of the training, oldest first. A fold of one stage was
trained by one set of programs; one of several is never what one set would have made, bit for bit.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.files.json_file import UNREADABLE, load_json, write_json_atomically
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.journal import journal_path, read_records

VERSIONS_FILE = "versions.json"
NNUNET = "nnunetv2"
OWN_PACKAGE = "nnunet_assets"
"""Drives nnU-Net and computes nothing of a training, so that its version makes no other stage."""


@dataclass(frozen=True)
class Stage:
    """A part of a fold's making by one set of programs.

    Attributes:
        from_epoch: The first epoch of it, counted from 0.
        what: `training`, or `validation` where the training was done before.
        versions: Package name to version.
        cases: Folder of preprocessed cases to the version of nnU-Net that made them; empty: not known.
    """

    from_epoch: int
    what: Literal["training", "validation"]
    versions: Mapping[str, str]
    cases: Mapping[str, str]


def read_stages(fold_folder: Path) -> list[Stage]:
    """Returns the stages of a fold; of one that an older version began, what its journal says of its begin."""
    try:
        content = load_json(fold_folder / OWN_FOLDER / VERSIONS_FILE)
        return [Stage(**stage) for stage in content["stages"]]
    except UNREADABLE:
        first = next(read_records(journal_path(fold_folder)), None)
        versions = first.values.get("params", {}).get("versions", {}) if first and first.kind == "start" else {}
        return [Stage(0, "training", versions, {})] if versions else []


def write_stages(fold_folder: Path, stages: Sequence[Stage]) -> None:
    """Writes them beside the fold's journal."""
    content = {"stages": [asdict(stage) for stage in stages]}
    write_json_atomically(fold_folder / OWN_FOLDER / VERSIONS_FILE, content)


def followed_by(stages: Sequence[Stage], now: Stage) -> list[Stage]:
    """Returns the stages with one more, where it is another one; one in which no epoch was trained is forgotten."""
    before = [stage for stage in stages if stage.from_epoch < now.from_epoch]
    if now.what == "validation":
        before = [stage for stage in stages if stage.what == "training" or stage.from_epoch < now.from_epoch]
    if before and not changes(before[-1].versions, now.versions) and before[-1].cases in ({}, now.cases):
        return before
    return [*before, now]


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Returns the packages of which both versions are known and differ: what they were, and what they are."""
    return {
        name: (version, now[name])
        for name, version in before.items()
        if name != OWN_PACKAGE and name in now and now[name] != version
    }


def is_other_minor(before: str, now: str) -> bool:
    """Says whether two versions differ in more than their last number: 2.8.1 and 2.9.0, not 2.8.1 and 2.8.2."""
    return _minor(before) != _minor(now)


def _minor(version: str) -> list[str]:
    return [part.lstrip("0") for part in re.findall(r"\d+", version.partition("+")[0])[:2]]


def mixed_versions(stages: Sequence[Stage | Mapping[str, Any]]) -> dict[str, list[str]]:
    """Returns the packages of which a fold had more than one version, in the order in which it had them."""
    found: dict[str, list[str]] = {}
    for stage in stages:
        versions = stage.versions if isinstance(stage, Stage) else stage.get("versions", {})
        for name, version in versions.items():
            if name != OWN_PACKAGE and version not in found.setdefault(name, []):
                found[name].append(version)
    return {name: versions for name, versions in found.items() if len(versions) > 1}


def mixed_in_words(mixed: Mapping[str, Sequence[str]]) -> str:
    """Returns `nnunetv2 2.8.1, then 2.8.2; torch 2.6.0, then 2.7.1`; empty where nothing is mixed."""
    return "; ".join(f"{name} {', then '.join(versions)}" for name, versions in mixed.items())
