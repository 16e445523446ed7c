"""Images of a few bytes whose header promises gigabytes are refused by the header, in each format of SimpleITK's."""

import gzip
import resource
import zlib
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.nnunet.label_image import label_reader
from nnunet_assets.nnunet.nifti import VolumeError
from nnunet_assets.nnunet.reader_placement import itk_placement

SimpleITK = pytest.importorskip("SimpleITK")

SIDE = {"cut": 900, "huge": 90_000}
CODES = {"cut": "D047", "huge": "D050"}


def nrrd(side, content):
    packed = gzip.compress(content)
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {side} {side} {side}\nencoding: gzip\nendian: little\n\n"
    return header.encode() + packed


def mha(side, content):
    packed = zlib.compress(content)
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "CompressedData = True"]
    lines += [f"CompressedDataSize = {len(packed)}", "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 0 0 0"]
    lines += ["ElementSpacing = 1 1 1", f"DimSize = {side} {side} {side}", "ElementType = MET_UCHAR"]
    return ("\n".join([*lines, "ElementDataFile = LOCAL"]) + "\n").encode() + packed


WRITERS = {".nrrd": nrrd, ".mha": mha}


@pytest.mark.parametrize("kind", SIDE)
@pytest.mark.parametrize("ending", WRITERS)
def test_a_header_that_promises_too_much_is_refused_before_the_voxels_are_read(tmp_path: Path, ending, kind):
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
def test_an_image_of_one_value_which_packs_best_is_read(tmp_path: Path, ending):
    file = tmp_path / f"constant{ending}"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((150, 150, 150), np.uint8)), str(file), True)
    assert itk_placement(file, file.name, "SimpleITKIO").shape == (150, 150, 150)


def test_voxels_may_lie_in_another_file(tmp_path: Path):
    (tmp_path / "voxels.raw").write_bytes(bytes(200**3))
    header = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 200 200 200\nencoding: raw\ndata file: voxels.raw\n\n"
    (tmp_path / "detached.nrrd").write_text(header)
    assert itk_placement(tmp_path / "detached.nrrd", "detached.nrrd", "SimpleITKIO").shape == (200, 200, 200)
