"""A zip of a package opened without trust, as `package_zip` or anybody else wrote it.

What it would unpack to is known before it is unpacked, and no name in it leads elsewhere. It is unpacked once, into a
folder of a cache that bears the package's digest, and what comes out is opened as any package.
"""

import errno
import hashlib
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nnunet_assets.core.files.droppings import is_dropping
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned
from nnunet_assets.core.model.description_file import parse_description
from nnunet_assets.core.model.model_description import MODEL_FILE, ModelDescription
from nnunet_assets.core.model.package_files import MOST_FILES, refuse_other_names
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.errors import NnunetAssetsError, PackageError, first_offenders
from nnunet_assets.nnunet.checkpoints.checkpoint_limits import refuse_long_directory
from nnunet_assets.nnunet.packages.package_reading import ModelPackage, open_package
from nnunet_assets.processes.machine.disk_space import lacking_room

MOST_TIMES, ROOM_FOR_TEXT = 4, 256 << 20
"""What a zip may unpack to: weights hardly shrink, and the rest is small."""

MOST_DESCRIPTION_BYTES = 64 << 20

_TORN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, ValueError)
"""What zipfile raises of a zip that is torn, or packed in a way that Python does not know."""


@dataclass(frozen=True)
class _Zipped:
    """A zip whose entries are safe to unpack.

    Attributes:
        path: Where it lies.
        archive: Opened.
        entries: The files of its one package, by their paths within that.
    """

    path: Path
    archive: zipfile.ZipFile
    entries: Mapping[str, zipfile.ZipInfo]


def open_package_or_zip(path: Path, trusted: frozenset[str], cache: Path, progress: Progress = LOGGED) -> ModelPackage:
    """Returns the package in a folder, or in a zip that is unpacked into a folder of the cache first.

    Args:
        path: The folder, or the zip.
        trusted: As for `open_package`.
        cache: Where packages lie by their digest, `CACHE/DIGEST`; made where it is missing.
        progress: Told that one is unpacked.

    Raises:
        PackageError: As `open_package`; or the zip is damaged, or would unpack to more than it may, or elsewhere.
        ForeignCodeError: As `open_package`.
    """
    if path.is_dir():
        return open_package(path, trusted)
    if not path.is_file():
        raise PackageError(f"{path} is not there. A package is a folder with a {MODEL_FILE}, or a zip of one.")
    try:
        refuse_long_directory(path)
        with zipfile.ZipFile(path) as archive:
            return _unpacked(_Zipped(path, archive, _entries(path, archive)), trusted, cache, progress)
    except _TORN as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the file's beginning
            raise
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> PackageError:
    return PackageError(f"{path} is no zip, or a damaged one ({error}). Get the package again from where it came.")


def _unpacked(zipped: _Zipped, trusted: frozenset[str], cache: Path, progress: Progress) -> ModelPackage:
    entry = zipped.entries[MODEL_FILE]
    content = zipped.archive.read(entry)
    description = parse_description(content, f"{zipped.path}, {entry.filename}")
    refuse_other_names(zipped.entries, description.files, zipped.path)
    folder = cache / hashlib.sha256(content).hexdigest()
    cache.mkdir(parents=True, exist_ok=True)
    with kernel_lock(cache / f".{folder.name}.lock"):
        if known := _known(folder, trusted):
            return known
        remove_abandoned(cache)
        checked = _unpack(zipped, folder, trusted, progress)
        return open_package(folder, trusted, checked)


def _known(folder: Path, trusted: frozenset[str]) -> ModelPackage | None:
    """Returns what was unpacked before; what was damaged since is removed."""
    if not folder.is_dir():
        return None
    try:
        return open_package(folder, trusted)
    except NnunetAssetsError:
        shutil.rmtree(folder)
        return None


def _unpack(zipped: _Zipped, folder: Path, trusted: frozenset[str], progress: Progress) -> ModelDescription:
    n_bytes = sum(entry.file_size for entry in zipped.entries.values())
    progress.say(f"{zipped.path} is unpacked to {folder}: {n_bytes / 1e6:.0f} MB.")
    if lack := lacking_room(folder.parent, n_bytes, "Unpacking it needs"):
        raise PackageError(f"{zipped.path} cannot be unpacked. {lack} Make room there.")
    with partial_folder(folder) as partial:
        for name, entry in zipped.entries.items():
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with zipped.archive.open(entry) as source, target.open("xb") as opened:
                shutil.copyfileobj(source, opened, 1 << 20)  # ends after as many bytes as the list of entries says
        return open_package(partial, trusted).description  # what is refused is not kept


def _entries(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Returns the files of the one package in a zip by their paths within it, where unpacking them is safe."""
    entries = archive.infolist()
    if len(entries) > MOST_FILES:
        raise PackageError(f"{path} has {len(entries)} entries, and no package has more than {MOST_FILES}.")
    for entry in entries:
        if problem := _problem(entry):
            raise PackageError(f"{path} holds {entry.filename!r}, which {problem}. It is not unpacked.")
    files = [entry for entry in entries if not entry.is_dir() and not is_dropping(PurePosixPath(entry.filename).name)]
    _refuse_bomb(path, files)
    root = _root(path, files)
    outside = [entry.filename for entry in files if not PurePosixPath(entry.filename).is_relative_to(root)]
    if outside:
        raise PackageError(f"{path} holds files beside its package in {root}: {first_offenders(outside)}.")
    within = {PurePosixPath(entry.filename).relative_to(root).as_posix(): entry for entry in files}
    if len({name.lower() for name in within}) < len(files):
        raise PackageError(f"{path} holds two files of one name, so that nobody knows which of them counts.")
    return within


def _problem(entry: zipfile.ZipInfo) -> str | None:
    """Returns why an entry is not unpacked, as the rest of a sentence."""
    # zipfile itself cuts a name at a zero byte.
    name, kind = entry.orig_filename, stat.S_IFMT(entry.external_attr >> 16)
    parts = name.removesuffix("/").split("/")
    if "\0" in name or "\\" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        return "leads out of the folder that it is unpacked to"
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is a link or another thing that is no file"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that no package is"
    return None


def _refuse_bomb(path: Path, files: list[zipfile.ZipInfo]) -> None:
    n_bytes, size = sum(entry.file_size for entry in files), path.stat().st_size
    if n_bytes > MOST_TIMES * size + ROOM_FOR_TEXT:
        raise PackageError(
            f"{path} has {size / 1e6:.1f} MB and says that it unpacks to {n_bytes / 1e6:.0f} MB, which no package does."
        )
    if large := [entry for entry in files if _is_description(entry) and entry.file_size > MOST_DESCRIPTION_BYTES]:
        raise PackageError(f"{path} has a {MODEL_FILE} of {large[0].file_size / 1e6:.0f} MB, which no package has.")


def _root(path: Path, files: list[zipfile.ZipInfo]) -> PurePosixPath:
    """Returns the folder within a zip in which the package lies."""
    roots = [PurePosixPath(entry.filename).parent for entry in files if _is_description(entry)]
    if len(roots) == 1:
        return roots[0]
    raise PackageError(
        f"{path} is no package: it has {len(roots)} files {MODEL_FILE}, where a package has one. What nnU-Net's own "
        "nnUNetv2_export_model_to_zip writes has none, and nnUNetv2_install_pretrained_model_from_zip unpacks that."
    )


def _is_description(entry: zipfile.ZipInfo) -> bool:
    return PurePosixPath(entry.filename).name == MODEL_FILE
