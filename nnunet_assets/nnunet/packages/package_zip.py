"""A package that comes as a zip: unpacked once, into a folder named after the zip's SHA-256, and opened from there.

The zip is anybody's: only plain files below its own root are taken, each of the size that the zip says.
"""

import errno
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned
from nnunet_assets.core.model.model_description import MODEL_FILE
from nnunet_assets.errors import PackageError
from nnunet_assets.processes.disk_space import lacking_room

MOST_FILES = 10_000
_CHUNK_BYTES = 1 << 20

_TORN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises of a zip that is torn, encrypted, or packed in a way that Python does not know."""


def unpacked(file: Path, cache: Path) -> Path:
    """Returns the folder of the package in a zip, unpacked where the cache does not have it.

    Args:
        file: The zip, with model.json in it or in its only folder.
        cache: The folder of all unpacked packages.

    Raises:
        PackageError: It is no zip, holds no package, or files that are no plain files below it; or the disk is too
            small.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            root = _root(archive, file)
            folder = cache / file_sha256(file)
            if folder.exists():
                return folder
            cache.mkdir(parents=True, exist_ok=True)
            remove_abandoned(cache)
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if lack := lacking_room(cache, sum(entry.file_size for entry in entries), f"Unpacking {file} takes"):
                raise PackageError(f"{lack} Make room there.")
            with partial_folder(folder) as partial:
                for entry in entries:
                    _unpack(archive, entry, partial / PurePosixPath(entry.filename).relative_to(root))
    except OSError as error:
        # A place that is none, or a file that is to be a folder, too; a full disk is no fault of the zip.
        if error.errno not in (errno.EINVAL, errno.EEXIST, errno.ENOTDIR):
            raise
        raise _torn(file, error) from None
    except _TORN as error:
        raise _torn(file, error) from None
    return folder


def _torn(file: Path, error: Exception) -> PackageError:
    return PackageError(f"{file} cannot be unpacked: {error}. Get it again from where it came.")


def _root(archive: zipfile.ZipFile, file: Path) -> PurePosixPath:
    """Returns where in the zip the package lies."""
    entries = archive.infolist()
    for entry in entries:
        path, kind = PurePosixPath(entry.filename), entry.external_attr >> 16
        is_odd = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename
        if is_odd or stat.S_ISLNK(kind) or (stat.S_IFMT(kind) and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))):
            raise PackageError(f"{file} holds {entry.filename!r}, which is no plain file below it. Do not use it.")
    if len(entries) > MOST_FILES:
        raise PackageError(f"{file} holds {len(entries)} files, and a package has at most {MOST_FILES}.")
    found = [path.parent for path in (PurePosixPath(entry.filename) for entry in entries) if path.name == MODEL_FILE]
    found = [path for path in found if len(path.parts) <= 1]
    if len(found) != 1 or any(not PurePosixPath(entry.filename).is_relative_to(found[0]) for entry in entries):
        raise PackageError(
            f"{file} is no package of a model: it has no {MODEL_FILE} beside everything else. nnU-Net's own zips have "
            "none; install those with nnUNetv2_install_pretrained_model_from_zip."
        )
    return found[0]


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK_BYTES)
