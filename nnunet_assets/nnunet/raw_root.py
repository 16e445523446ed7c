"""The folder nnUNet_raw: which datasets it holds, and how a new one enters it: under a free name and id, and whole."""

import difflib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunet_assets.core.layout import DATASET_PATTERN
from nnunet_assets.core.provenance import fsync_folder
from nnunet_assets.errors import DatasetError, first_offenders


def dataset_folder(raw_root: Path, dataset: str) -> Path:
    """Returns the folder of a dataset.

    Raises:
        DatasetError: The name is no dataset name, or there is no such folder; the message says which there are.
    """
    _refuse_bad_name(dataset)
    if not raw_root.is_dir():
        raise DatasetError(
            f"The folder of raw datasets, {raw_root}, does not exist. Create it and put {dataset} there, or set "
            "nnUNet_raw to where your datasets are."
        )
    folder = raw_root / dataset
    if not folder.is_dir():
        present = _datasets(raw_root, "Dataset")
        close = difflib.get_close_matches(dataset, present, n=1)
        raise DatasetError(
            f"There is no {dataset} in {raw_root}, which holds {first_offenders(present) or 'no dataset'}."
            + (f" Did you mean {close[0]}?" if close else "")
        )
    return folder


def datasets_of_same_id(raw_root: Path, dataset: str) -> list[str]:
    """Returns the other datasets with the id of this one, sorted; nnU-Net refuses to work while there are any."""
    return [name for name in _datasets(raw_root, dataset[: len("Dataset004")]) if name != dataset]


def refuse_taken(raw_root: Path, dataset: str) -> None:
    """Passes where a dataset of this name may be made.

    Raises:
        DatasetError: The name is no dataset name, or the name or its id is taken.
    """
    _refuse_bad_name(dataset)
    if (raw_root / dataset).exists():
        raise DatasetError(
            f"{raw_root / dataset} exists and is not written over. Take another name or id, or delete it first."
        )
    if others := datasets_of_same_id(raw_root, dataset):
        raise DatasetError(
            f"The id of {dataset} is taken by {first_offenders(others)} in {raw_root}. nnU-Net finds datasets by their "
            "id; take another one."
        )


@contextmanager
def new_dataset(raw_root: Path, dataset: str) -> Iterator[Path]:
    """Yields an empty folder that becomes the dataset when the block ends without an error.

    Until then it is a hidden folder beside, `.DATASET.partial-...`, which nnU-Net does not list. An error removes it; a
    killed process or a power loss leaves it, and it may be deleted.

    Raises:
        DatasetError: As `refuse_taken`, before and after the block.
    """
    refuse_taken(raw_root, dataset)
    partial = raw_root / f".{dataset}.partial-{secrets.token_hex(4)}"
    partial.mkdir(parents=True)
    try:
        yield partial
        _fsync_tree(partial)
        refuse_taken(raw_root, dataset)
        partial.rename(raw_root / dataset)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    fsync_folder(raw_root)


def _refuse_bad_name(dataset: str) -> None:
    if not re.fullmatch(DATASET_PATTERN, dataset):
        raise DatasetError(
            f"D062 {dataset!r} is not a dataset name. nnU-Net's form is Dataset, three digits, _ and at most 64 "
            "letters, digits, '.', '_' and '-', such as Dataset004_Hippocampus."
        )


def _datasets(raw_root: Path, prefix: str) -> list[str]:
    return sorted(path.name for path in raw_root.glob(f"{prefix}*") if path.is_dir())


def _fsync_tree(folder: Path) -> None:
    # The rename must not reach the disk before what it names.
    for path in [*folder.rglob("*"), folder]:
        if path.is_symlink():
            continue
        if path.is_dir():
            fsync_folder(path)
        else:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
