"""The files that a dataset.json lists under `dataset`: where they lie, and whether they may be read.

nnU-Net expands the variables in these paths by the environment of its own process, and reads whatever they lead to.
Here they are expanded by the environment that its processes get from us, and files outside of nnUNet_raw count as
somebody's own until the user says otherwise: a dataset.json from elsewhere must not choose what is read.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription
from nnunet_assets.errors import DatasetError, first_offenders

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})", re.ASCII)  # as os.path.expandvars has it, which nnU-Net calls


@dataclass(frozen=True)
class Entry:
    """The files of one case as dataset.json lists them, whether they are there or not.

    Attributes:
        case: The case's name.
        images: By channel; absolute.
        label: Likewise.
    """

    case: str
    images: tuple[Path, ...]
    label: Path


def read_entries(folder: Path, description: DatasetDescription, variables: Mapping[str, str]) -> list[Entry]:
    """Returns the entries by case name, by nnU-Net's own rule for relative paths and variables.

    Args:
        folder: The dataset's, where relative paths begin.
        description: Its dataset.json, with entries.
        variables: What variables stand for; others stay as they are.
    """

    def path(text: str) -> Path:
        expanded = _expanded(text, variables)
        # As nnU-Net: an absolute path stays as it is, for the file system to resolve.
        return Path(expanded) if Path(expanded).is_absolute() else Path(os.path.abspath(folder / expanded))  # noqa: PTH100

    listed: Mapping[str, Mapping[str, str]] = description.raw["dataset"]
    return [
        Entry(case, tuple(path(image) for image in entry["images"]), path(entry["label"]))
        for case, entry in sorted(listed.items())
    ]


def has_variables(description: DatasetDescription) -> bool:
    """Tells whether an entry holds a variable, so that nnU-Net would read it by its process's own environment."""
    return any(_VARIABLE.search(text) for text in _texts(description))


def refuse_outside(entries: Iterable[Entry], folder: Path, raw_root: Path, allowed: Sequence[Path]) -> None:
    """Passes where every listed file lies in nnUNet_raw, in the dataset's folder or where the user allows it.

    Links are followed: what counts is the file that would be read.

    Raises:
        DatasetError: One lies elsewhere. Nothing of it was read.
    """
    inside = [Path(os.path.realpath(one)) for one in (raw_root, folder, *allowed)]
    outside = [file for file in _files(entries) if not _is_in(Path(os.path.realpath(file)), inside)]
    if outside:
        folders = sorted({str(Path(os.path.realpath(file)).parent) for file in outside})
        raise DatasetError(
            f"D060 {folder / DATASET_JSON} lists {len(outside)} files outside of {raw_root}: "
            f"{first_offenders(outside)}. None of them was read. If they are meant, allow their folders, in the "
            f"dataset's YAML or by --files-from: files_from: [{first_offenders(folders)}]."
        )


def _files(entries: Iterable[Entry]) -> Iterator[Path]:
    for entry in entries:
        yield from (*entry.images, entry.label)


def _texts(description: DatasetDescription) -> Iterator[str]:
    for entry in description.raw["dataset"].values():
        yield from (*entry["images"], entry["label"])


def _is_in(file: Path, folders: Iterable[Path]) -> bool:
    return any(file.is_relative_to(folder) for folder in folders)


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1].strip("{}"), found[0]), text)
