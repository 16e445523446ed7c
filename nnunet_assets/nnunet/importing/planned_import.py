"""An import that is settled to the last file name before anything is written: to be carried out, or looked at."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.droppings import droppings_in, passed_over
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.importing.transfer import Link, Transfer
from nnunet_assets.nnunet.raw.raw_root import new_dataset, refuse_unwritable
from nnunet_assets.processes.machine.disk_space import lacking_room

IMPORTING = "files imported"
"""What an import counts, as in `Progress.step`."""

REHEARSED_SECONDS = 2.0
"""How long files of one kind are tried in memory, for an estimate of them all."""


@dataclass(frozen=True)
class ImportedDataset:
    """A dataset that was brought into nnUNet_raw.

    Attributes:
        name: `DatasetXXX_Name`.
        folder: Where it lies now.
        n_training: Training cases.
        n_test: Test cases, in `imagesTs`.
        changes: What was converted, a sentence each.
    """

    name: str
    folder: Path
    n_training: int
    n_test: int
    changes: tuple[str, ...]


def left_behind(transfers: Sequence[Transfer], ending: str) -> list[str]:
    """Returns the sentence about what other systems left beside the files that are brought, where there is any."""
    names = droppings_in(sorted({transfer.source.parent for transfer in transfers}), ending)
    return [passed_over(names)] if names else []


@dataclass(frozen=True)
class PlannedImport:
    """A dataset that is to be brought into nnUNet_raw.

    Attributes:
        result: What there will be; its changes are told as done.
        outlook: The same changes, told as what would be done.
        source: Where it comes from, for messages.
        transfers: The images and labels, and what lies beside them.
        description: The content of dataset.json.
        link: How files that need no conversion get there.
        n_before: Files that were read to settle this, which `Progress` heard of.
        tables: Further files, by name.
    """

    result: ImportedDataset
    outlook: tuple[str, ...]
    source: Path
    transfers: Sequence[Transfer]
    description: Mapping[str, Any]
    link: Link
    n_before: int = 0
    tables: Mapping[str, bytes] = field(default_factory=dict)

    def carry_out(self, progress: Progress = SILENT) -> ImportedDataset:
        """Writes the dataset, whole or not at all.

        Raises:
            DatasetError: The name or id is taken, a file cannot be read or written, or the disk is too small.
        """
        self.refuse_hopeless()
        folder = self.result.folder
        try:
            with new_dataset(folder.parent, folder.name) as partial:
                for n_done, transfer in enumerate(self.transfers, start=1):
                    transfer.run(partial, self.link)
                    progress.step(IMPORTING, self.n_before + n_done, self.n_before + len(self.transfers))
                for file, content in self.tables.items():
                    write_atomically(partial / file, content)
                write_json_atomically(partial / DATASET_JSON, self.description)
        except OSError as error:
            hint = " Take --link copy or --link symlink." if self.link == "hardlink" else ""
            raise DatasetError(f"{self.source} cannot be brought to {folder}: {error}.{hint}") from error
        return self.result

    def refuse_hopeless(self) -> None:
        """Passes where the disk may hold what is brought as it is.

        Raises:
            DatasetError: It does not, or nothing may be written there.
        """
        there = refuse_unwritable(self.result.folder.parent)
        certain = sum(transfer.n_bytes(self.link) or 0 for transfer in self.transfers)
        if lack := lacking_room(there, certain, f"Importing {self.result.name} needs"):
            raise DatasetError(f"{lack} Make room, set nnUNet_raw to another disk, or take --link symlink.")

    def estimate(self) -> "Estimate":
        """Tries some files of each kind in memory, and returns what all of them would take.

        Raises:
            DatasetError: A file that was tried cannot be read.
        """
        kinds: dict[str | None, list[Transfer]] = {}
        for transfer in self.transfers:
            kinds.setdefault(transfer.change, []).append(transfer)
        try:
            found = [_rehearsed(transfers, self.link) for transfers in kinds.values()]
        except OSError as error:
            raise DatasetError(f"{self.source} cannot be brought to {self.result.folder}: {error}.") from error
        free = shutil.disk_usage(refuse_unwritable(self.result.folder.parent)).free
        return Estimate(sum(seconds for seconds, _ in found), sum(n_bytes for _, n_bytes in found), free)


@dataclass(frozen=True)
class Estimate:
    """What an import takes, by some of its files.

    Attributes:
        seconds: To read and convert all files; not to write them.
        n_bytes: On the disk.
        free_bytes: There.
    """

    seconds: float
    n_bytes: int
    free_bytes: int


def _rehearsed(transfers: Sequence[Transfer], link: Link) -> tuple[float, int]:
    """Returns seconds and bytes of files of one kind, by those that were tried."""
    sizes = [transfer.source.stat().st_size for transfer in transfers]
    begun, n_read, n_written = time.monotonic(), 0, 0
    for transfer, size in zip(transfers, sizes, strict=True):
        n_written += transfer.rehearse(link)
        n_read += size
        if time.monotonic() - begun > REHEARSED_SECONDS:
            break
    share = sum(sizes) / n_read if n_read else 1.0
    certain = [n_bytes for transfer in transfers if (n_bytes := transfer.n_bytes(link)) is not None]
    n_bytes = sum(certain) if len(certain) == len(transfers) else round(n_written * share)
    return (time.monotonic() - begun) * share, n_bytes
