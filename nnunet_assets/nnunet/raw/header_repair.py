"""Files of a case that lie on one grid, but not by their headers: which those are, and a copy with the right header.

Only NIfTI, as nnU-Net's reader of the dataset takes it. The header of the case's first image counts; every voxel and
every other field of a copy stays as it was.
"""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.nnunet.images.case_geometry import Geometry, geometry_of
from nnunet_assets.nnunet.images.nifti import VolumeError, read_header, read_unpacked

_GZIP_MAGIC = b"\x1f\x8b"
_PLACE_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)
"""What of a header says where the voxels lie, beside the first four numbers of `pixdim`."""


@dataclass(frozen=True)
class HeaderRepair:
    """A file that gets the header of its case's first image.

    Attributes:
        case: The case.
        file: The original.
        first: The case's first image.
        distance_mm: The farthest that a corner of the volume moves.
        voxel_mm: The smallest side of a voxel.
    """

    case: str
    file: Path
    first: Path
    distance_mm: float
    voxel_mm: float

    def digest(self) -> str:
        """Returns what decides every byte of the copy."""
        return json_sha256([file_sha256(self.file), self._header().binaryblock.hex()])

    def repaired(self) -> bytes:
        """Returns the content of the copy, compressed where the original is.

        An original that is damaged or unpacks without end is returned as it is, for the check of the case to name.
        """
        content = self.file.read_bytes()
        try:
            unpacked = read_unpacked(self.file)
        except VolumeError:
            return content
        header = self._header()
        # Everything behind the header, extensions and voxels, byte for byte.
        copy = header.binaryblock + unpacked[header.sizeof_hdr :]
        is_gzip = content.startswith(_GZIP_MAGIC)
        return gzip.compress(copy, compresslevel=6, mtime=0) if is_gzip else copy

    def _header(self) -> Any:
        header, first = read_header(self.file), read_header(self.first)
        for name in _PLACE_FIELDS:
            header[name] = first[name]
        header["pixdim"][:4] = first["pixdim"][:4]
        return header


def header_repairs(files: CaseFiles, tolerance_mm: float, reader: str) -> Iterator[HeaderRepair]:
    """Yields the files of a case that lie apart from its first image by more than rounding, but within the tolerance.

    What differs by more, or in shape, is no matter of the header alone. No readable first image: nothing.
    """
    present = [*files.images, *([files.label] if files.label else [])]
    reference = _geometry(present[0], reader) if files.images else None
    if reference is None:
        return
    for file in present[1:]:
        found = _geometry(file, reader)
        if found is None or found.shape != reference.shape:
            continue
        distance = found.distance_mm(reference)
        is_apart = distance > reference.same_place_mm or not np.allclose(found.spacing_mm, reference.spacing_mm)
        if is_apart and distance <= tolerance_mm:
            yield HeaderRepair(files.case, file, present[0], distance, min(reference.spacing_mm))


def all_header_repairs(cases: Sequence[CaseFiles], tolerance_mm: float, reader: str) -> tuple[HeaderRepair, ...]:
    """Returns those of all cases, in their order."""
    return tuple(repair for files in cases for repair in header_repairs(files, tolerance_mm, reader))


def _geometry(path: Path, reader: str) -> Geometry | None:
    try:
        return geometry_of(path, read_header(path), path.name, reader)
    except VolumeError:
        return None
