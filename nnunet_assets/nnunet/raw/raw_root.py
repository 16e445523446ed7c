"""The folder nnUNet_raw: which datasets it holds, and how a new one enters it: under a free name and id, and whole."""

import difflib
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnunet_assets.core.files.layout import DATASET_PATTERN
from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned
from nnunet_assets.errors import DatasetError, first_offenders


def dataset_folder(raw_root: Path, dataset: str) -> Path:
    """Returns the folder of a dataset.

    Raises:
        DatasetError: The name is no dataset name, or there is no such folder; the message says which there are.
    """
    refuse_bad_name(dataset)
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
    refuse_bad_name(dataset)
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

    Until then it is a partial folder, which nnU-Net does not list. Those that killed processes left are removed first.

    Raises:
        DatasetError: As `refuse_taken`, before and after the block, or nothing may be written in `raw_root`.
    """
    refuse_taken(raw_root, dataset)
    try:
        raw_root.mkdir(parents=True, exist_ok=True)
        remove_abandoned(raw_root)
        with partial_folder(raw_root / dataset) as partial:
            yield partial
            refuse_taken(raw_root, dataset)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not _is_in(raw_root, error.filename):
            raise
        raise DatasetError(_unwritable(raw_root, f"{error.strerror} ({error.filename})")) from None


def refuse_unwritable(raw_root: Path) -> Path:
    """Returns the nearest folder above a new dataset that is there, where something may be written in it.

    Raises:
        DatasetError: Nothing may be.
    """
    there = next(folder for folder in (raw_root, *raw_root.parents) if folder.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise DatasetError(_unwritable(raw_root, f"{os.strerror(errno.EACCES)} ({there})"))
    return there


def _unwritable(raw_root: Path, why: str) -> str:
    return (
        f"{raw_root} cannot be written: {why}. Ask its owner for the right to write, or set nnUNet_raw, with nnU-Net's "
        "two other variables, to a folder of your own."
    )


def _is_in(folder: Path, file: str | bytes | None) -> bool:
    return isinstance(file, str) and (Path(file).is_relative_to(folder) or folder.is_relative_to(file))


def refuse_bad_name(dataset: str) -> None:
    """Passes where a dataset may be called so.

    Raises:
        DatasetError: It may not.
    """
    if not re.fullmatch(DATASET_PATTERN, dataset):
        raise DatasetError(
            f"D062 {dataset!r} is not a dataset name. nnU-Net's form is Dataset, three digits, _ and at most 64 "
            "letters, digits, '.', '_' and '-', such as Dataset004_Hippocampus."
        )


def _datasets(raw_root: Path, prefix: str) -> list[str]:
    return sorted(path.name for path in raw_root.glob(f"{prefix}*") if path.is_dir())
