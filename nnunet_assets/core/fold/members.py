"""The folds of which a fold of an ensemble is made, as its manifest names them, and whether they still are the same.

A fold of an ensemble lies in `DATASET/ensembles/NAME/fold_k` of the results, and its members in `fold_k` of their
models. Their folders are named from the folder of all results, so that results that are moved as a whole stay true.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MEMBERS = "members"
"""In the details of a manifest; that of a fold that was trained has none."""


@dataclass(frozen=True)
class Member:
    """A fold that an ensemble predicts with.

    Attributes:
        name: Of its experiment within the dataset.
        folder: nnU-Net's folder of its model, from that of all results.
        commit: What names the finished fold.
        checkpoint: SHA-256 of the checkpoint that predicts.
    """

    name: str
    folder: str
    commit: str
    checkpoint: str


def members_to_json(members: Sequence[Member]) -> list[dict[str, Any]]:
    """Returns what stands in the details of a manifest."""
    return [asdict(member) for member in members]


def members_of(details: Mapping[str, Any]) -> list[Member]:
    """Returns the members that a manifest names; none of a fold that was trained.

    Raises:
        ValueError: It is not what `members_to_json` made.
    """
    try:
        return [Member(**member) for member in details.get(MEMBERS, [])]
    except TypeError as error:
        raise ValueError(f"members are not those of an ensemble: {error}") from error


def changed_members(fold_folder: Path, details: Mapping[str, Any], commit_of: Callable[[Path], str]) -> list[str]:
    """Returns the names of the members that were trained or validated again since, or are just now.

    One whose folder was taken away counts as it was.

    Args:
        fold_folder: Of the ensemble.
        details: Of its manifest.
        commit_of: `commit_sha256`.

    Raises:
        ValueError: As `members_of`.
    """
    members = members_of(details)
    if not members:
        return []
    results = fold_folder.absolute().parents[3]
    return [one.name for one in members if _is_another(results / one.folder / fold_folder.name, one, commit_of)]


def _is_another(fold_folder: Path, member: Member, commit_of: Callable[[Path], str]) -> bool:
    if not fold_folder.is_dir():
        return False
    try:
        return commit_of(fold_folder) != member.commit
    except FileNotFoundError:  # it trains again just now
        return True
