"""The files of a package: that they are those which its `model.json` names, and the digest of all of them together.

By digests alone, so that whoever brings a package from elsewhere knows it for what was put there. What is in the files
is looked at by whoever opens it (`nnunet.packages.package_reading`).
"""

from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.model.description_file import read_description
from nnunet_assets.core.model.model_description import MODEL_FILE, ModelDescription
from nnunet_assets.errors import PackageError, first_offenders

_REMEDY = "Take it anew from where it was made."


def package_digest(folder: Path) -> str:
    """Returns what names a package with all that is in it: `model.json` holds the digests of the other files."""
    return file_sha256(folder / MODEL_FILE)


def check_files(folder: Path, digest: str | None = None) -> ModelDescription:
    """Returns what a package says of itself once all its files are as it says.

    Args:
        folder: The package.
        digest: What the package is to be, as `package_digest` names it; None: whatever it is.

    Raises:
        PackageError: It is another one, or a file is missing, changed, not named, or a link.
    """
    description = read_description(folder / MODEL_FILE)
    if digest is not None and package_digest(folder) != digest:
        raise PackageError(f"{folder / MODEL_FILE} has another content than the package {digest[:12]}. {_REMEDY}")
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    if links := [name for name, path in found.items() if path.is_symlink()]:
        raise PackageError(f"The package {folder} has links, which lead anywhere: {first_offenders(links)}. {_REMEDY}")
    present = {name for name, path in found.items() if not path.is_dir()} - {MODEL_FILE}
    _refuse(folder, "lacks", sorted(description.files.keys() - present))
    _refuse(folder, "has files that it does not name:", sorted(present - description.files.keys()))
    changed = [name for name, sha256 in description.files.items() if file_sha256(found[name]) != sha256]
    _refuse(folder, "has files that were changed since it was made:", changed)
    return description


def _refuse(folder: Path, what: str, names: Sequence[str]) -> None:
    if names:
        raise PackageError(f"The package {folder} {what} {first_offenders(names)}. {_REMEDY}")
