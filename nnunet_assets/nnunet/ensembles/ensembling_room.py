"""Whether the disk and the memory have room for an ensemble's probabilities, looked at before any is predicted."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from nnunet_assets.errors import PredictionError
from nnunet_assets.nnunet.probabilities.probabilities import cases_at_once
from nnunet_assets.processes.machine.disk_space import lacking_room

MERGE_COPIES = 3
"""How many arrays of the size of a case's probabilities are in memory while their mean is taken: the sum, what is added
to it, and the labels that come of it."""


def refuse_without_room(results: Path, on_disk: Mapping[str, int], kept_bytes: int) -> None:
    """Passes where the disk has room for the largest fold, and for all that is kept.

    Args:
        results: nnU-Net's folder of all results, where they are written.
        on_disk: Fold to what its probabilities take.
        kept_bytes: What those of them take that are not removed.

    Raises:
        PredictionError: It has not.
    """
    if on_disk:
        _refuse(results, on_disk, max(on_disk, key=lambda fold: on_disk[fold]))
    if lack := lacking_room(results, kept_bytes, "The probabilities that are to be kept take"):
        raise PredictionError(f"{lack} Make room, or keep none.")


def groups_of_folds(results: Path, on_disk: Mapping[str, int]) -> Iterator[list[str]]:
    """Yields folds of which the disk has room for the probabilities, as many together as fill half of it.

    Args:
        results: As for `refuse_without_room`.
        on_disk: Likewise.

    Raises:
        PredictionError: Others have filled it meanwhile, so that it has not even room for one.
    """
    waiting = list(on_disk)
    while waiting:
        _refuse(results, on_disk, waiting[0])
        room, group = shutil.disk_usage(results).free // 2, [waiting.pop(0)]
        while waiting and sum(on_disk[fold] for fold in [*group, waiting[0]]) <= room:
            group.append(waiting.pop(0))
        yield group


def means_at_once(largest_bytes: int) -> int:
    """Returns of how many cases the mean may be taken at once.

    Raises:
        PredictionError: Not even one fits into the memory.
    """
    return cases_at_once(largest_bytes, MERGE_COPIES, "while their mean is taken")


def _refuse(results: Path, on_disk: Mapping[str, int], fold: str) -> None:
    if lack := lacking_room(results, on_disk[fold], f"The probabilities of {fold} take"):
        raise PredictionError(f"{lack} Make room, or name fewer members.")
