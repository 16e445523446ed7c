"""Images of a few bytes whose header promises gigabytes are refused by the header, in each format of SimpleITK's."""

import gzip
import resource
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.images import image_limits, label_image
from nnunet_assets.nnunet.images.image_reader import PHOTO_READER, TIFF_READER, dataset_reader
from nnunet_assets.nnunet.images.label_image import label_reader
from nnunet_assets.nnunet.images.nifti import VolumeError
from nnunet_assets.nnunet.images.reader_placement import itk_placement
from nnunet_assets.nnunet.images.reader_voxels import read_voxels
from nnunet_assets_tests.late_imports import Late

SimpleITK = Late("SimpleITK")

SIDE = {"cut": 900, "huge": 90_000}
CODES = {"cut": "D047", "huge": "D050"}


def nrrd(side: Any, content: bytes) -> Any:
    packed = gzip.compress(content)
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {side} {side} {side}\nencoding: gzip\nendian: little\n\n"
    return header.encode() + packed


def mha(side: Any, content: bytes) -> Any:
    packed = zlib.compress(content)
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "CompressedData = True"]
    lines += [f"CompressedDataSize = {len(packed)}", "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 0 0 0"]
    lines += ["ElementSpacing = 1 1 1", f"DimSize = {side} {side} {side}", "ElementType = MET_UCHAR"]
    return ("\n".join([*lines, "ElementDataFile = LOCAL"]) + "\n").encode() + packed


WRITERS = {".nrrd": nrrd, ".mha": mha}


@pytest.mark.parametrize("kind", SIDE)
@pytest.mark.parametrize("ending", WRITERS)
def test_a_header_that_promises_too_much_is_refused_before_the_voxels_are_read(
    tmp_path: Path, ending: Any, kind: Any
) -> None:
    file = tmp_path / f"bomb{ending}"
    file.write_bytes(WRITERS[ending](SIDE[kind], bytes(1000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (
        lambda: itk_placement(file, file.name, "SimpleITKIO"),
        lambda: label_reader("SimpleITKIO", ending)(file),
    ):
        with pytest.raises(VolumeError, match=r"bomb.*(promises|voxels by its header)") as caught:
            read()
        assert caught.value.code == CODES[kind]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("ending", [*WRITERS, ".nii.gz"])
def test_an_image_of_one_value_which_packs_best_is_read(tmp_path: Path, ending: Any) -> None:
    file = tmp_path / f"constant{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((150, 150, 150), np.uint8)), str(file), True)
    assert itk_placement(file, file.name, "SimpleITKIO").shape == (150, 150, 150)


def test_voxels_may_lie_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "voxels.raw").write_bytes(bytes(200**3))
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 200 200 200\nencoding: raw\ndata file: voxels.raw\n\n"
    (tmp_path / "detached.nrrd").write_text(header)
    assert itk_placement(tmp_path / "detached.nrrd", "detached.nrrd", "SimpleITKIO").shape == (200, 200, 200)


def _tiff_of_a_terabyte(file: Path) -> None:
    """Three pages that share a strip, each of 600,000 x 600,000 pixels by its tags; 400 bytes."""
    tags = {256: 600_000, 257: 600_000, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: 600_000, 279: 100}
    content = b"II*\0" + (108).to_bytes(4, "little") + zlib.compress(bytes(9)).ljust(100, b"\0")
    for page in range(3):
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        following = len(content) + 2 + len(entries) + 4 if page < 2 else 0
        content += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    file.write_bytes(content)


def _png_of_150_megapixels(file: Path) -> None:
    """A header without pixels: 15,000 x 10,000 in four colours; a hundred bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = struct.pack(">IIBBBBB", 15_000, 10_000, 8, 6, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize(
    ("name", "write", "reader"),
    [
        ("bomb.tif", _tiff_of_a_terabyte, PHOTO_READER),
        ("bomb.tiff", _tiff_of_a_terabyte, TIFF_READER),
        ("bomb.png", _png_of_150_megapixels, PHOTO_READER),
    ],
)
def test_a_picture_that_unpacks_to_more_than_the_memory_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write: Any, reader: str
) -> None:
    monkeypatch.setattr(image_limits, "most_voxel_bytes", lambda: 500_000_000)
    file = tmp_path / name
    write(file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (
        lambda: read_voxels(file, name, reader),
        lambda: label_image._read_by_nnunet(file, reader, lambda _: pytest.fail("its pixels were read")),
    ):
        with pytest.raises(VolumeError, match=r"bomb.*voxels by its header") as caught:
            read()
        assert caught.value.code == "D050"
    assert dataset_reader({"file_ending": file.suffix}, file) is not None  # so that the check names the file
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif"])
def test_a_picture_of_a_usual_size_and_a_file_that_is_none_are_not_called_too_large(
    tmp_path: Path, ending: str
) -> None:
    from skimage import io

    file, none = tmp_path / f"a{ending}", tmp_path / f"none{ending}"
    io.imsave(file, np.zeros((40, 30, 3), np.uint8), check_contrast=False)
    none.write_bytes(b"no picture")
    image_limits.refuse_oversized_raster(file, file.name)
    image_limits.refuse_oversized_raster(none, none.name)


def test_one_thread_at_a_time_reads_with_simpleitk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = [], []

    def watched(read: Any) -> Any:
        def call(*arguments: Any) -> Any:
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            try:
                return read(*arguments)
            finally:
                inside.pop()

        return call

    file = tmp_path / "a.nrrd"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((3, 4, 5), np.uint8)), str(file))
    monkeypatch.setattr(
        SimpleITK.ImageFileReader, "ReadImageInformation", watched(SimpleITK.ImageFileReader.ReadImageInformation)
    )
    monkeypatch.setattr("SimpleITK.ReadImage", watched(SimpleITK.ReadImage))
    calls = [
        lambda: itk_placement(file, file.name, "SimpleITKIO"),
        lambda: read_voxels(file, file.name, "SimpleITKIO"),
        lambda: label_reader("SimpleITKIO", ".nrrd")(file),
    ]
    label_reader("SimpleITKIO", ".nrrd")  # imports nnU-Net
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(call) for call in calls * 4]:
            future.result()
    assert len(most) >= 16
    assert max(most) == 1
