"""A dataset's split on disk: nnU-Net's own file, and beside it the record of how it came to be.

In `nnUNet_preprocessed/DATASET`: `splits_final.json`, and `.nnunet_assets/splits.json`, a `SplitsRecord`. Also of a
split that is there no more the record says which cases it only trained on, and whose they were: a summary draws
patients, not cases, for its intervals and tests.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.json_file import OTHER_FORM, load_json, write_json_atomically
from nnunet_assets.core.files.layout import FULL_FOLD, OWN_FOLDER, fold_key
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.splits.splits import NO_SPLITS, SPLITS_FILE, Split, SplitSettings, coverage, is_splits
from nnunet_assets.core.splits.splits_record import Generation, SplitsRecord
from nnunet_assets.errors import ConfigError, DatasetError

RECORD_FILE = "splits.json"

NOT_WRITTEN_OVER = (
    "Folds that were trained belong to that file, so it is not written over. Restore the data or the number of folds "
    "that it was made for, or correct it; or, to have it made as declared, delete it."
)


def read_splits(preprocessed_dataset: Path) -> Any:
    """Returns what the splits file holds, of whatever form; None where there is no file.

    Raises:
        DatasetError: It is no JSON, or a link that leads nowhere: a drive may come back that has it.
    """
    path = preprocessed_dataset / SPLITS_FILE
    try:
        return load_json(path)
    except FileNotFoundError:
        if path.is_symlink():
            raise DatasetError(
                f"{path} is a link to {path.readlink()}, which is not there. Have that there again, or, to have the "
                "split made, delete the link."
            ) from None
        return None
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}). {NOT_WRITTEN_OVER}") from None


def readable_splits(preprocessed_dataset: Path) -> list[Split] | None:
    """Returns the split in the splits file; None where there is none, or it has another form."""
    try:
        splits = read_splits(preprocessed_dataset)
    except (DatasetError, OSError):
        return None
    return splits if is_splits(splits) else None


def write_splits(preprocessed_dataset: Path, splits: Sequence[Split]) -> Path:
    """Writes the splits file, whole or not at all, with the bytes that nnU-Net itself would write."""
    path = preprocessed_dataset / SPLITS_FILE
    write_atomically(path, json.dumps(list(splits), sort_keys=True, indent=4).encode())
    return path


def read_splits_file(path: Path) -> list[Split]:
    """Returns a split of the user's own, which has the right form; whether it fits the dataset is not looked at.

    Raises:
        ConfigError: The file cannot be read, or is no split.
    """
    try:
        content = load_json(path)
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}. A relative path begins in the project's folder.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON ({error}).") from None
    if not is_splits(content):
        raise ConfigError(f"{path} {NO_SPLITS}")
    splits: list[Split] = content
    return splits


def settings_version(settings: SplitSettings) -> str:
    """Returns one line that changes with the settings and with the files that they name, where those are there."""
    named = [settings.file, getattr(settings.groups, "path", None)]
    digests = [f"{path.name}={file_sha256(path)[:12]}" for path in named if path and path.is_file()]
    values = {"folds": settings.n_folds, **settings.record}
    return ", ".join([*(f"{name}={value}" for name, value in values.items()), *digests])


def read_record(preprocessed_dataset: Path) -> SplitsRecord:
    """Returns how the split came to be; an empty record where there is none.

    Raises:
        DatasetError: It is damaged.
    """
    path = preprocessed_dataset / OWN_FOLDER / RECORD_FILE
    try:
        return SplitsRecord.from_json(load_json(path))
    except FileNotFoundError:
        return SplitsRecord()
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}). Restore it, or delete it.") from None
    except OTHER_FORM as error:
        raise DatasetError(f"{path} is not as this package writes it ({error!r}). Restore it, or delete it.") from error


def write_record(preprocessed_dataset: Path, record: SplitsRecord) -> None:
    """Writes the record, whole or not at all."""
    write_json_atomically(preprocessed_dataset / OWN_FOLDER / RECORD_FILE, record.to_json())


def read_patients(preprocessed_dataset: Path, splits_hash: str, cases: Sequence[str]) -> dict[str, str] | None:
    """Returns the patient of each of the cases; None where the record does not say it of all of them.

    Args:
        preprocessed_dataset: `nnUNet_preprocessed/DATASET`.
        splits_hash: Digest of the splits that the folds were trained on; where it is `UNKNOWN`, the newest generation
            counts whose groups hold all of the cases.
        cases: Case ids.
    """
    for made in reversed(_readable_generations(preprocessed_dataset)):
        # The newest of the splits: groups that were declared later hold for the same splits.
        holds_all = made.groups.keys() >= set(cases)
        if made.splits_sha256 == splits_hash or (splits_hash == UNKNOWN and holds_all):
            return {case: str(made.groups[case]) for case in cases} if holds_all else None
    return None


def read_training_only(preprocessed_dataset: Path, splits_hash: str) -> tuple[str, ...] | None:
    """Returns the cases that a split trains on and validates in no fold; None: the split is not known.

    Args:
        preprocessed_dataset: `nnUNet_preprocessed/DATASET`.
        splits_hash: Digest of the split.
    """
    splits = readable_splits(preprocessed_dataset)
    if splits is not None and json_sha256(splits) == splits_hash:
        return coverage(splits).training_only
    made = [made for made in _readable_generations(preprocessed_dataset) if made.splits_sha256 == splits_hash]
    return tuple(made[-1].training_only) if made else None


def folds_of_split(preprocessed_dataset: Path, finished: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the folds of the split that is there; None: there is none, or other folds than its were finished."""
    folds = tuple(fold_key(index) for index in range(len(readable_splits(preprocessed_dataset) or ())))
    return folds if folds and set(finished) <= {*folds, FULL_FOLD} else None


def _readable_generations(preprocessed_dataset: Path) -> tuple[Generation, ...]:
    try:
        return read_record(preprocessed_dataset).generations
    except (DatasetError, OSError):
        return ()
