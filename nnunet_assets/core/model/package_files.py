"""The files of a package read back: what it says of itself, and that its files are those which that names.

By digests alone, so that whoever brings a package from elsewhere knows it for what was put there. What is in the files
is looked at by whoever opens it (`nnunet.packages.package_reading`).
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.files.json_file import JsonError, read_json, read_json_bytes
from nnunet_assets.core.model.description_file import parse_description
from nnunet_assets.core.model.model_description import MODEL_FILE, ModelDescription
from nnunet_assets.core.model.postprocessing_steps import Step, parse_steps
from nnunet_assets.errors import PackageError, first_offenders

PICKLES = (".pkl", ".pickle", ".p", ".joblib", ".npy", ".npz", ".pt", ".ckpt", ".bin")
"""Endings of files that some program unpickles. Of checkpoints, `.pth`, the content is looked at."""

MOST_FILES = 5_000
"""More than any model has: nnU-Net's own of five folds has 7."""

_REMEDY = "Get the package again from where it came."


def package_digest(folder: Path) -> str:
    """Returns what names a package with all that is in it: `model.json` holds the digests of the other files."""
    return file_sha256(folder / MODEL_FILE)


def read_description(file: Path) -> ModelDescription:
    """Returns what a model.json says.

    Raises:
        PackageError: It is missing, a link, or as `parse_description` says.
    """
    try:
        if file.is_symlink():
            raise PackageError(f"{file} is a link, and a package has files alone.")
        content = read_json_bytes(file)
    except FileNotFoundError:
        raise PackageError(f"{file.parent} is no package: it has no {file.name}.") from None
    except (OSError, JsonError) as error:
        raise PackageError(f"{file} cannot be read as the description of a model: {error}.") from error
    return parse_description(content, file)


def read_steps(file: Path) -> tuple[Step, ...]:
    """Returns the steps of a postprocessing.json, of ours or of nnU-Net's; none where there is no file.

    nnU-Net keeps them in `postprocessing.pkl` too, which is never read: reading it runs what is in it.

    Raises:
        DamagedFileError: It is no JSON object.
        PackageError: As `parse_steps`.
    """
    content = read_json(file)
    return () if content is None else parse_steps(content, file)


def check_files(folder: Path, digest: str | None = None) -> ModelDescription:
    """Returns what a package says of itself once all its files are as it says; every byte is read (0.6 s a gigabyte).

    What systems leave beside files is passed over.

    Args:
        folder: The package.
        digest: What the package is to be, as `package_digest` names it; None: whatever it is.

    Raises:
        PackageError: It is another one; or a file is missing, changed, not named, a pickle, a link, a pipe or a device.
    """
    description = read_description(folder / MODEL_FILE)
    if digest is not None and package_digest(folder) != digest:
        raise PackageError(f"{folder / MODEL_FILE} has another content than the package {digest[:12]}. {_REMEDY}")
    refuse_other_names(set(_files(folder)), description.files, folder)
    changed = [path for path, wanted in description.files.items() if file_sha256(folder / path) != wanted]
    if changed:
        raise PackageError(
            f"{folder} was changed since it was made: {first_offenders(changed)} has another SHA-256 than {MODEL_FILE} "
            f"says. {_REMEDY}"
        )
    return description


def refuse_other_names(found: Collection[str], wanted: Collection[str], source: Path) -> None:
    """Passes where these are the names of a package's files, and none beside.

    Args:
        found: Paths within the package.
        wanted: Those that model.json names.
        source: Where they are, for the message.

    Raises:
        PackageError: Some are missing, or too many.
    """
    if pickles := sorted(path for path in found if path.lower().endswith(PICKLES)):
        raise PackageError(
            f"{source} holds pickles, and reading a pickle runs whatever is in it: {first_offenders(pickles)}. A "
            "package has its postprocessing as postprocessing.json; get one without pickles."
        )
    if missing := sorted({*wanted, MODEL_FILE} - set(found)):
        raise PackageError(f"{source} lacks what its {MODEL_FILE} names: {first_offenders(missing)}. {_REMEDY}")
    if extra := sorted(set(found) - {*wanted, MODEL_FILE}):
        raise PackageError(
            f"{source} holds files that its {MODEL_FILE} does not name: {first_offenders(extra)}. Take them out where "
            f"they are yours. {_REMEDY}"
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
                    f"{folder} holds {within}, which is a link, a pipe or a device, and may lead anywhere. A package "
                    f"has files alone. {_REMEDY}"
                )
            if stat.S_ISREG(mode):
                yield within
