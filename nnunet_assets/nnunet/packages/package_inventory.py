"""Which files lie in a folder that somebody hands on, and which of them are not to be there."""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.model.model_description import MODEL_FILE
from nnunet_assets.errors import PackageError, first_offenders

PICKLES = (".pkl", ".pickle", ".p", ".joblib", ".npy", ".npz", ".pt", ".ckpt", ".bin")
"""Endings of files that some program unpickles. Of checkpoints, `.pth`, the content is looked at."""

MOST_FILES = 5_000
"""More than any model has: nnU-Net's own of five folds has 7."""


def refuse_other_files(folder: Path, wanted: Collection[str]) -> None:
    """Passes where the files of a folder are these and model.json; what systems leave beside files is passed over.

    Args:
        folder: Of the package.
        wanted: Paths within it, with `/`.

    Raises:
        PackageError: Some are missing or too many, or one is a link, a pipe or a device.
    """
    found = set(_files(folder))
    if pickles := sorted(path for path in found if path.lower().endswith(PICKLES)):
        raise PackageError(
            f"{folder} holds pickles, and reading a pickle runs whatever is in it: {first_offenders(pickles)}. A "
            "package has its postprocessing as postprocessing.json; get one without pickles."
        )
    if missing := sorted({*wanted, MODEL_FILE} - found):
        raise PackageError(
            f"{folder} lacks what its {MODEL_FILE} names: {first_offenders(missing)}. Get the package again from where "
            "it came."
        )
    if extra := sorted(found - {*wanted, MODEL_FILE}):
        raise PackageError(
            f"{folder} holds files that its {MODEL_FILE} does not name: {first_offenders(extra)}. Take them out where "
            "they are yours, or get the package again from where it came."
        )


def _files(folder: Path) -> Iterator[str]:
    """Yields the path of every file below a folder, with `/`; a link is followed nowhere."""
    n = 0
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(place) / name
            within, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            n += 1
            if n > MOST_FILES:
                raise PackageError(f"{folder} holds more than {MOST_FILES} files and folders, which no package does.")
            if is_dropping(name) and stat.S_ISREG(mode):
                continue
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise PackageError(
                    f"{folder} holds {within}, which is a link, a pipe or a device, and may lead out of it. A package "
                    "has files alone; get it again from where it came."
                )
            if stat.S_ISREG(mode):
                yield within
