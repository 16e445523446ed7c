"""One NIfTI file, read honestly: whole, with its checksum, or not at all.

SimpleITK, with which nnU-Net reads, takes a `.nii.gz` that is cut for one that ends in zeros, and NaN for 0. Here a
file is read once, to its end: its voxels, the CRC of its gzip stream and the SHA-256 of its bytes. A file that would
fill the memory, or never end, is refused before it does.
"""

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.core.text.numbers import apart
from nnunet_assets.errors import DatasetError
from nnunet_assets.processes.machine.memory import memory_bytes

ENDINGS = (".nii.gz", ".nii")
READ_AT_ONCE = 4
"""So many files share the memory while a dataset is read (`case_reading`)."""
_BLOCK = 1 << 20
_HEADER_BYTES = 540  # of NIfTI-2, the longer one
_GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_LIMIT = 1032
"""DEFLATE turns a byte into at most so many. A header that promises more is wrong: known without unpacking anything."""
_MOST_EXTENSION_BYTES = 1 << 20
"""What is kept of the texts between header and voxels."""
_MOST_TRAILING_BYTES = 64 << 20
"""What may follow the voxels: some programs leave a little, a file made to keep its reader busy gigabytes."""

_IMPOSTORS = (
    (0, b"version https://git-lfs", "is a Git LFS pointer, not the image itself; run `git lfs pull`"),
    (0, b"<", "is an HTML or XML page, probably the error page of a download; download it again"),
    (0, b"\x00\x05\x16\x07", "is a resource file that macOS writes beside the real one (._NAME); delete it"),
    (0, b"PK\x03\x04", "is a ZIP archive; unpack it"),
    (0, b"NRRD", "is an NRRD image; convert it"),
    (128, b"DICM", "is a DICOM file; convert the series to NIfTI"),
)
"""Offset, bytes found there, and what a file is that starts so."""


class VolumeError(DatasetError):
    """A file does not hold the image that its name promises.

    Attributes:
        code: The finding's code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Volume:
    """An image as it lies in its file.

    Attributes:
        sha256: Of the file's bytes, compressed as they are.
        stored: Voxels before slope and intercept, axes (X, Y, Z) or (X, Y, Z, channel), in the file's own number type.
        slope: Value = stored * slope + intercept.
        intercept: See `slope`.
        header: nibabel's header, as it stands in the file. Where the voxels lie by it is the reader's to say
            (`reader_placement`).
        extensions: What lies between header and voxels, at most 1 MiB of it: texts of the program that wrote the file.
        is_gzip: Whether the bytes are compressed, whatever the name says.
    """

    sha256: str
    stored: np.ndarray
    slope: float
    intercept: float
    header: Any
    extensions: bytes
    is_gzip: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along X, Y, Z (and channel)."""
        return self.stored.shape

    def values(self) -> np.ndarray:
        """Returns the voxels with slope and intercept applied; without them, the stored array itself."""
        if (self.slope, self.intercept) == (1.0, 0.0):
            return self.stored
        # In 64 bits, as the readers: a slope as Python's number would take the 32 of the voxels.
        return self.stored * np.float64(self.slope) + self.intercept


def read_volume(path: Path, name: str | None = None, *, as_itk: bool = True) -> Volume:
    """Returns the image in a `.nii` or `.nii.gz` file.

    Memory: the uncompressed image once.

    Args:
        path: The file.
        name: How messages call it; None: its path.
        as_itk: Whether slope and intercept are taken as SimpleITK takes them, which of a slope of 0 or none keeps the
            intercept, and lets voxels whose place is not said follow the header; else as nibabel, which keeps neither,
            and leaves room for the flag of extensions.

    Raises:
        VolumeError: The file is no NIfTI (D049), is cut (D047), damaged (D048), too large for this machine (D050) or
            cannot be read (D053), or does not hold one number a voxel (D046).
    """
    name = name or str(path)
    with _opened(path, name) as (source, stream):
        is_gzip = stream is not source
        header, extensions, content = _read_image(name, stream, _most_bytes(path, is_gzip=is_gzip), as_itk=as_itk)
        slope, intercept = _itk_scaling(header) if as_itk else _nibabel_scaling(name, header)
        shape = tuple(int(n) for n in header.get_data_shape())
        return Volume(
            sha256=source.sha256.hexdigest(),
            stored=np.frombuffer(content, header.get_data_dtype()).reshape(shape, order="F"),
            slope=slope,
            intercept=intercept,
            header=header,
            extensions=extensions,
            is_gzip=is_gzip,
        )


def read_unpacked(path: Path) -> bytes:
    """Returns all bytes of a file, uncompressed, where they are no more than its header promises and a little.

    Raises:
        VolumeError: As `read_volume`.
    """
    name = str(path)
    with _opened(path, name) as (source, stream):
        start, _, offset, n_bytes = _read_start(name, stream, _most_bytes(path, is_gzip=stream is not source))
        rest: bytes = stream.read(offset + n_bytes + _MOST_TRAILING_BYTES + 1 - len(start))
        if len(start) + len(rest) > offset + n_bytes + _MOST_TRAILING_BYTES:
            raise _endless(name)
        return start + rest


def read_shape(path: Path) -> tuple[int, ...]:
    """Returns an image's shape, axes (X, Y, Z) or (X, Y, Z, channel), from the start of its file.

    Raises:
        VolumeError: As `read_volume`, as far as the start of the file shows it.
    """
    return tuple(int(n) for n in read_header(path).get_data_shape())


def read_header(path: Path) -> Any:
    """Returns nibabel's header, from the start of the file.

    Raises:
        VolumeError: As `read_shape`.
    """
    with _opened(path, str(path)) as (_, stream):
        header, _ = _header(str(path), stream.read(_HEADER_BYTES))
        return header


def is_gzip(path: Path) -> bool:
    """Tells whether a file's bytes are compressed, whatever its name says."""
    with open_regular(path) as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def write_nifti(path: Path, image: Any) -> None:
    """Writes a nibabel image as `.nii.gz`; the same image gives the same bytes, unlike nibabel's own writing."""
    path.write_bytes(packed(image))


def packed(image: Any) -> bytes:
    """Returns what `write_nifti` writes."""
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


class _Digesting:
    """A file that takes the SHA-256 of what is read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self.sha256.update(block)
        return block


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[_Digesting, Any]]:
    """Yields the file and its uncompressed bytes (the file itself where it is not compressed)."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(512)
            file.seek(0)
            _refuse_impostor(name, start, size)
            source = _Digesting(file)
            yield source, gzip.GzipFile(fileobj=cast("BinaryIO", source)) if start.startswith(_GZIP_MAGIC) else source
    except EOFError:
        raise VolumeError("D047", _cut(name, f"its gzip stream breaks off after {size} bytes")) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        # "Not a gzipped file (b'..')", of what follows the first stream: nothing of a file is quoted.
        why = str(error).partition(" (")[0]
        raise VolumeError("D048", f"{name} is damaged: {why}. Copy or download it again.") from None
    except OSError as error:
        raise VolumeError("D053", f"{name} cannot be read: {error.strerror or error}.") from None


def _refuse_impostor(name: str, start: bytes, size: int) -> None:
    if size == 0:
        raise VolumeError("D049", f"{name} is empty (0 bytes); copy or download it again.")
    for offset, magic, what in _IMPOSTORS:
        if start[offset:].lstrip().startswith(magic):
            raise VolumeError("D049", f"{name} is no NIfTI image: it {what}.")
    if start.startswith(_GZIP_MAGIC) and name.lower().endswith(".nii"):
        raise VolumeError("D049", f"{name} is compressed although its name ends in .nii; name it .nii.gz.")


def _read_start(name: str, stream: Any, most_bytes: int, *, as_itk: bool = True) -> tuple[bytes, Any, int, int]:
    """Returns the first bytes, the header, and where its voxels begin and how many bytes they take, where that can be.

    Args:
        most_bytes: No more can be unpacked from the file.
    """
    start = stream.read(_HEADER_BYTES)
    header, n_bytes = _header(name, start)
    offset = max(int(header.get_data_offset()), int(header["sizeof_hdr"]))
    if not as_itk and not header.get_data_offset():
        offset = int(header.single_vox_offset)
    if offset + n_bytes > most_bytes:
        raise VolumeError("D047", _cut(name, f"its header promises {n_bytes} bytes of voxels, more than it can hold"))
    if offset + n_bytes > (most := most_voxel_bytes()):
        needed_gb, most_gb = apart((offset + n_bytes) / 1e9, most / 1e9, 1)
        raise VolumeError(
            "D050",
            f"{name} unpacks to {needed_gb} GB, more than this machine's or container's memory has "
            f"room for ({most_gb} GB: {READ_AT_ONCE} files are read at once, and nnU-Net holds an image twice). "
            "Look whether its header is right; crop or resample the image, or take it away.",
        )
    return start, header, offset, n_bytes


def _read_image(name: str, stream: Any, most_bytes: int, *, as_itk: bool) -> tuple[Any, bytes, bytearray]:
    """Returns header, extensions and the voxels' bytes, and reads the stream to its end, where gzip keeps its checksum.

    The voxels are read into their place: `stream.read` of them all would hold them twice.
    """
    start, header, offset, n_bytes = _read_start(name, stream, most_bytes, as_itk=as_itk)
    extensions = bytearray(start[int(header["sizeof_hdr"]) : offset])
    skipped = offset - len(start)
    while skipped > 0 and (block := stream.read(min(skipped, _BLOCK))):
        skipped -= len(block)
        extensions += block[: _MOST_EXTENSION_BYTES - len(extensions)]
    content = bytearray(n_bytes)
    n_read = min(max(len(start) - offset, 0), n_bytes)
    content[:n_read] = start[offset : offset + n_read]
    while n_read < n_bytes and (block := stream.read(min(n_bytes - n_read, _BLOCK))):
        content[n_read : n_read + len(block)] = block
        n_read += len(block)
    if n_read < n_bytes:
        raise VolumeError("D047", _cut(name, f"it has {n_read} of the {n_bytes} bytes of voxels"))
    _read_to_end(name, stream)
    return header, bytes(extensions), content


def _read_to_end(name: str, stream: Any) -> None:
    n_trailing = 0
    while block := stream.read(_BLOCK):
        n_trailing += len(block)
        if n_trailing > _MOST_TRAILING_BYTES:
            raise _endless(name)


def _endless(name: str) -> VolumeError:
    return VolumeError(
        "D050",
        f"{name} goes on for more than {_MOST_TRAILING_BYTES >> 20} MiB after its last voxel. It is damaged, or made "
        "to keep its reader busy; export it again, or take it away.",
    )


def _most_bytes(path: Path, *, is_gzip: bool) -> int:
    return path.stat().st_size * (DEFLATE_LIMIT if is_gzip else 1)


@cache
def most_voxel_bytes() -> int:
    """Returns a file's share of half of the memory: nnU-Net holds an image twice while it reads it.

    Asked once in a process: asking the machine takes a sixth of what a small case takes to be read.
    """
    return memory_bytes() // 2 // READ_AT_ONCE


def _header(name: str, start: bytes) -> tuple[Any, int]:
    """Returns nibabel's header and how many bytes the voxels take."""
    from nibabel import Nifti1Header, Nifti2Header
    from nibabel.spatialimages import HeaderDataError

    kinds = {348: Nifti1Header, 540: Nifti2Header}
    sizes = {int.from_bytes(start[:4], order) for order in ("little", "big")} & set(kinds)
    kind = kinds[sizes.pop()] if sizes else None
    if kind is None or len(start) < kind.sizeof_hdr:
        raise VolumeError(
            "D049", f"{name} is no NIfTI image: its first bytes are those of something else. Export it again as NIfTI."
        )
    try:
        header = kind(start[: kind.sizeof_hdr], check=False)
        shape = tuple(int(n) for n in header.get_data_shape())
        dtype = header.get_data_dtype()
        header.get_data_offset()  # raises on nonsense
    except (ValueError, OverflowError, KeyError, HeaderDataError) as error:
        raise VolumeError("D049", f"{name} has a header that makes no sense: {error}. Export it again.") from None
    if not dtype.itemsize:
        raise VolumeError("D049", f"{name} has a header that makes no sense: its voxels have no type. Export it again.")
    if bytes(header["magic"]).rstrip(b"\0")[:3] not in (b"n+1", b"n+2"):
        raise VolumeError("D049", f"{name} is not a single-file NIfTI (.hdr/.img pairs are not read). Export it again.")
    if dtype.fields is not None or dtype.kind == "c":
        raise VolumeError("D046", f"{name} has colours or complex numbers as voxels; nnU-Net needs one number a voxel.")
    if not shape or min(shape) < 1:
        raise VolumeError("D046", f"{name} has the shape {shape_text(shape)}, so no voxels. Export it again.")
    return header, math.prod(shape) * dtype.itemsize


def _itk_scaling(header: Any) -> tuple[float, float]:
    slope, intercept = (float(header[field]) for field in ("scl_slope", "scl_inter"))
    # ITK takes a slope of less than the smallest step of 64-bit floats for none.
    is_slope = np.isfinite(slope) and abs(slope) >= np.finfo(np.float64).eps
    return slope if is_slope else 1.0, intercept if np.isfinite(intercept) else 0.0


def _nibabel_scaling(name: str, header: Any) -> tuple[float, float]:
    from nibabel.spatialimages import HeaderDataError

    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise VolumeError("D049", f"{name} has a header that makes no sense: {error}. Export it again.") from None
    return 1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept)


def _cut(name: str, how: str) -> str:
    return f"{name} is cut off: {how}. Copy or download it again."


def shape_text(shape: tuple[int, ...]) -> str:
    """Returns a shape for people: `32 × 40 × 24`."""
    return " × ".join(str(n) for n in shape)
