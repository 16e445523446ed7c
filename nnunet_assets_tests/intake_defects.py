"""Ways to spoil one case of a good dataset, each with the code of the finding that must name it."""

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np

from nnunet_assets_tests.raw_builders import SPACING_MM, write_volume


class Defect(NamedTuple):
    """One defect.

    Attributes:
        code: Of the finding.
        spoil: Spoils a case, given the dataset's folder and the case's name.
        is_named: Whether the finding carries the case's name; else it is about a file or the whole.
        nnunet_refuses: Whether nnU-Net's own integrity check refuses the dataset for it.
    """

    code: str
    spoil: Callable[[Path, str], object]
    is_named: bool = True
    nnunet_refuses: bool = False


def image_of(folder: Path, case: str, channel: int = 0) -> Path:
    return folder / f"imagesTr/{case}_{channel:04d}.nii.gz"


def label_of(folder: Path, case: str) -> Path:
    return folder / f"labelsTr/{case}.nii.gz"


def voxels_of(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def _image_with(value: float) -> Callable[[Path, str], object]:
    def spoil(folder: Path, case: str) -> object:
        voxels = voxels_of(image_of(folder, case)).astype(np.float32)
        voxels[1, 1, 1] = value
        return write_volume(image_of(folder, case), voxels)

    return spoil


def _label_with(value: float, dtype: Any = np.float32) -> Callable[[Path, str], object]:
    def spoil(folder: Path, case: str) -> object:
        voxels = voxels_of(label_of(folder, case)).astype(dtype)
        voxels[0, 0, 0] = value
        return write_volume(label_of(folder, case), voxels)

    return spoil


def _label_header(change: Callable[[np.ndarray], object]) -> Callable[[Path, str], object]:
    """Moves the label by a change of its affine."""

    def spoil(folder: Path, case: str) -> object:
        affine = np.diag([*SPACING_MM, 1.0])
        change(affine)
        image = nibabel.Nifti1Image(voxels_of(label_of(folder, case)), affine)
        return image.to_filename(label_of(folder, case))

    return spoil


def _tilt(affine: np.ndarray) -> None:
    affine[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]


def _zero_spacing(folder: Path, case: str) -> None:
    image = nibabel.Nifti1Image(voxels_of(label_of(folder, case)), np.diag([*SPACING_MM, 1.0]))
    image.header["pixdim"][1] = 0
    label_of(folder, case).write_bytes(gzip.compress(image.to_bytes()))


def _two_places(folder: Path, case: str) -> None:
    """Gives the image a qform that lies elsewhere than its sform, which is the one that counts."""
    image = nibabel.Nifti1Image(voxels_of(image_of(folder, case)), np.diag([*SPACING_MM, 1.0]))
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine + np.outer([1, 0, 0, 0], [0, 0, 0, 7.0]), 1)
    image_of(folder, case).write_bytes(gzip.compress(image.to_bytes()))


def _scaled(factor: float) -> Callable[[Path, str], object]:
    return lambda folder, case: write_volume(image_of(folder, case), factor * voxels_of(image_of(folder, case)))


def _in_metres(folder: Path, case: str) -> None:
    for path in (*folder.glob(f"imagesTr/{case}_*"), label_of(folder, case)):
        write_volume(path, voxels_of(path), spacing_mm=[mm / 1000 for mm in SPACING_MM])


def _mirrored(folder: Path, case: str) -> None:
    """Turns the first axis of all files of the case round, by their headers alone."""
    for path in (*folder.glob(f"imagesTr/{case}_*"), label_of(folder, case)):
        affine = np.diag([-SPACING_MM[0], *SPACING_MM[1:], 1.0])
        nibabel.Nifti1Image(voxels_of(path), affine).to_filename(path)


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path, str], object]:
    return lambda folder, case: image_of(folder, case).write_bytes(change(image_of(folder, case).read_bytes()))


def _wrong_crc(content: bytes) -> bytes:
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


def _terabyte(content: bytes) -> bytes:
    header = bytearray(gzip.decompress(content))
    header[42:48] = np.array([30_000, 30_000, 30_000], "<i2").tobytes()
    return gzip.compress(bytes(header))


def _personal_header(folder: Path, case: str) -> None:
    image = nibabel.Nifti1Image(voxels_of(image_of(folder, case)), np.diag([*SPACING_MM, 1.0]))
    image.header["descrip"] = b"DOE^JANE 19580312"
    image.to_filename(image_of(folder, case))


def _copy(folder: Path, case: str) -> None:
    """Gives the case the image of another one, compressed otherwise and with another text in its header."""
    other = next(path for path in sorted((folder / "imagesTr").glob("*_0000.nii.gz")) if path != image_of(folder, case))
    image = nibabel.Nifti1Image(voxels_of(other).astype(np.float64), np.diag([*SPACING_MM, 1.0]))
    image.header["descrip"] = b"another program"
    image_of(folder, case).write_bytes(gzip.compress(image.to_bytes(), 1))


def _twin(folder: Path, case: str) -> None:
    """Adds a case whose name differs in capitals alone; dataset.json then has one case too few."""
    for path in sorted((folder / "imagesTr").glob(f"{case}_*")):
        write_volume(path.with_name(path.name.replace(case, case.upper())), voxels_of(path) + 0.5)
    shutil.copyfile(label_of(folder, case), label_of(folder, case.upper()))


def _cut_label(folder: Path, case: str) -> None:
    write_volume(label_of(folder, case), voxels_of(label_of(folder, case))[:, :, :-1])


def _constant(folder: Path, case: str) -> None:
    write_volume(image_of(folder, case), np.full_like(voxels_of(image_of(folder, case)), 7))


def _empty_label(folder: Path, case: str) -> None:
    write_volume(label_of(folder, case), np.zeros_like(voxels_of(label_of(folder, case))))


def _four_axes(folder: Path, case: str) -> None:
    write_volume(image_of(folder, case), np.stack([voxels_of(image_of(folder, case))] * 2, axis=-1))


DEFECTS: dict[str, Defect] = {
    "a channel too many": Defect(
        "D022",
        lambda folder, case: write_volume(image_of(folder, case, 7), 3 + voxels_of(image_of(folder, case))),
        nnunet_refuses=True,
    ),
    "a label missing": Defect("D026", lambda folder, case: label_of(folder, case).unlink(), nnunet_refuses=True),
    "NaN": Defect("D031", _image_with(np.nan)),
    "infinity": Defect("D032", _image_with(np.inf)),
    "one value": Defect("D034", _constant),
    "an empty label": Defect("D035", _empty_label),
    "an undeclared label": Defect("D039", _label_with(9, np.uint8), nnunet_refuses=True),
    "a negative label": Defect("D039", _label_with(-1, np.int16), nnunet_refuses=True),
    "an infinite label": Defect("D039", _label_with(np.inf)),
    "half a label": Defect("D040", _label_with(0.5), nnunet_refuses=True),
    "a shape": Defect("D041", _cut_label, nnunet_refuses=True),
    "a spacing": Defect("D042", _label_header(lambda affine: np.put(affine, 10, 2.5)), nnunet_refuses=True),
    "no spacing": Defect("D045", _zero_spacing),
    "two places": Defect("D044", _two_places),
    "a shear": Defect("D045", _label_header(lambda affine: np.put(affine, 1, 0.05)), nnunet_refuses=True),
    "an origin": Defect("D043", _label_header(lambda affine: np.put(affine, 3, 0.01))),
    "a direction": Defect("D043", _label_header(_tilt)),
    "four axes": Defect("D046", _four_axes, nnunet_refuses=True),
    "a cut file": Defect("D047", _bytes(lambda content: content[: len(content) // 2])),
    "a terabyte": Defect("D047", _bytes(_terabyte), nnunet_refuses=True),
    "a wrong checksum": Defect("D048", _bytes(_wrong_crc)),
    "an empty file": Defect("D049", _bytes(lambda _: b""), nnunet_refuses=True),
    "an LFS pointer": Defect(
        "D049", _bytes(lambda _: b"version https://git-lfs.github.com/spec/v1\n"), nnunet_refuses=True
    ),
    "an error page": Defect("D049", _bytes(lambda _: b"<!DOCTYPE html>"), nnunet_refuses=True),
    "not compressed": Defect("D049", _bytes(gzip.decompress)),
    "no end": Defect("D050", _bytes(lambda content: gzip.compress(gzip.decompress(content) + bytes(65 << 20), 1))),
    "a copy": Defect("D054", _copy, is_named=False),
    "metres": Defect("D072", _in_metres),
    "another orientation": Defect("D072", _mirrored),
    "a thousand times as bright": Defect("D072", _scaled(1000)),
    "a patient in the header": Defect("D073", _personal_header),
    "a label without image": Defect(
        "D027",
        lambda folder, case: shutil.copyfile(label_of(folder, case), label_of(folder, f"{case}_x")),
        is_named=False,
    ),
    "another ending": Defect(
        "D019",
        lambda folder, case: shutil.copyfile(image_of(folder, case), folder / f"imagesTr/{case}_0000.NII.GZ"),
        is_named=False,
    ),
    "a link to nowhere": Defect(
        "D052",
        lambda folder, case: (folder / f"imagesTr/ghost {case}_0000.nii.gz").symlink_to("/nowhere/image.nii.gz"),
        is_named=False,
    ),
    "a link to itself": Defect(
        "D052",
        lambda folder, case: (folder / f"labelsTr/loop {case}.nii.gz").symlink_to(f"loop {case}.nii.gz"),
        is_named=False,
    ),
    "a folder in place of a file": Defect(
        "D053", lambda folder, case: (folder / f"imagesTr/dir {case}_0000.nii.gz").mkdir(), is_named=False
    ),
    "a name that is no text": Defect(
        "D060",
        lambda folder, case: shutil.copyfile(
            image_of(folder, case), os.fsdecode(os.fsencode(folder) + b"/imagesTr/caf\xe9_0000.nii.gz")
        ),
        is_named=False,
    ),
    "capitals": Defect("D056", _twin, is_named=False),
}
