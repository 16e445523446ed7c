"""The split of a dataset's cases into folds: nnU-Net's own, or the user's, in nnU-Net's file.

On disk: `nnUNet_preprocessed/DATASET/splits_final.json`, a list with `train` and `val` case names for each fold. It is
written before any fold starts, since nnU-Net lets whichever fold starts first write it, and never written over.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nnunet_assets.core.provenance import write_atomically
from nnunet_assets.errors import DatasetError, first_offenders

SPLITS_FILE = "splits_final.json"

Split = dict[str, list[str]]
"""One fold: `train` and `val`, each a list of case names."""


def default_splits(cases: Sequence[str], n_folds: int) -> list[Split]:
    """Returns the split that nnU-Net itself would make: k-fold over the sorted names, shuffled with its fixed seed.

    Raises:
        DatasetError: There are fewer cases than folds, or fewer than two folds.
    """
    if not 2 <= n_folds <= len(cases):
        raise DatasetError(
            f"{len(cases)} cases cannot be split into {n_folds} folds; a cross-validation needs at least two folds and "
            "a case for each."
        )
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    splits = generate_crossval_split(sorted(cases), seed=12345, n_splits=n_folds)
    # nnU-Net's names are numpy strings.
    return [{part: [str(case) for case in split[part]] for part in ("train", "val")} for split in splits]


def write_splits(preprocessed_dataset: Path, splits: Sequence[Split]) -> Path:
    """Writes the splits file, whole or not at all, with the bytes that nnU-Net itself would write."""
    path = preprocessed_dataset / SPLITS_FILE
    write_atomically(path, json.dumps(list(splits), sort_keys=True, indent=4).encode())
    return path


def check_splits(splits: Any, cases: Sequence[str], n_folds: int, source: Path | str = SPLITS_FILE) -> list[Split]:
    """Returns the splits where they are a cross-validation of exactly these cases.

    A fold may train on fewer cases than the rest, as some users want; each case is validated in exactly one fold.

    Args:
        splits: What a splits file holds.
        cases: All cases of the dataset.
        n_folds: Folds of the cross-validation.
        source: What messages call it.

    Raises:
        DatasetError: They are not; the message holds all that differs.
    """
    if not isinstance(splits, list) or not all(_is_split(split) for split in splits):
        raise DatasetError(
            f"{source} is not a list of folds of the form {{'train': [names], 'val': [names]}}, as nnU-Net needs it."
        )
    problems = list(_problems(splits, cases, n_folds))
    if problems:
        raise DatasetError(f"{source} does not fit the dataset and its {n_folds} folds:\n" + "\n".join(problems))
    return splits


def ensure_splits(preprocessed_dataset: Path, cases: Sequence[str], n_folds: int) -> list[Split]:
    """Returns the splits of a dataset as its file has them; writes nnU-Net's default where there is no file.

    A file that is there and fits is kept as it is, byte for byte: it may be the user's own.

    Args:
        preprocessed_dataset: `nnUNet_preprocessed/DATASET`.
        cases: All cases of the raw dataset.
        n_folds: Folds of the cross-validation.

    Raises:
        DatasetError: The file that is there is torn, or does not fit the cases and folds.
    """
    path = preprocessed_dataset / SPLITS_FILE
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        splits = default_splits(cases, n_folds)
        write_splits(preprocessed_dataset, splits)
        return splits
    except ValueError as error:
        raise DatasetError(f"{path} is not valid JSON ({error}). {_REMEDY}") from None
    try:
        return check_splits(content, cases, n_folds, path)
    except DatasetError as error:
        raise DatasetError(f"{error}\n{_REMEDY}") from None


_REMEDY = (
    "Folds that were trained belong to that file, so it is not written over. Restore the data or the number of folds "
    "that it was made for; or, to start over with a new split, delete it."
)


def _is_split(split: Any) -> bool:
    return isinstance(split, dict) and all(
        isinstance(split.get(part), list) and all(isinstance(case, str) for case in split[part])
        for part in ("train", "val")
    )


def _problems(splits: Sequence[Split], cases: Sequence[str], n_folds: int) -> Iterator[str]:
    if len(splits) != n_folds:
        yield f"It has {len(splits)} folds instead of {n_folds}."
    known = set(cases)
    for index, split in enumerate(splits):
        for part in ("train", "val"):
            if not split[part]:
                yield f"fold_{index} has no case in {part!r}."
        if overlap := sorted(set(split["train"]) & set(split["val"])):
            yield f"fold_{index} trains on cases that it validates: {first_offenders(overlap)}."
    named = {case for split in splits for part in ("train", "val") for case in split[part]}
    if unknown := sorted(named - known):
        yield f"It names cases that the dataset does not have: {first_offenders(unknown)}."
    validated = Counter(case for split in splits for case in split["val"])
    if never := sorted(known - set(validated)):
        yield f"No fold validates these cases: {first_offenders(never)}."
    if often := sorted(case for case, count in validated.items() if count > 1):
        yield f"These cases are validated more than once: {first_offenders(often)}."
