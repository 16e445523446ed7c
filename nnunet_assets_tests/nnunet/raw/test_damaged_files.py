"""Files that did not come whole, or are something else: each is named, and none ends the look."""

import gzip
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets_tests.nnunet.raw.tiny_dataset import image_of, inspect, label_of, the_finding
from nnunet_assets_tests.raw_builders import tiny_image, tiny_json, write_json, write_tiny_dataset


class TestDamagedFiles:
    @pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
    def test_a_cut_gzip_file(self, folder: Path, kept: float) -> None:
        content = image_of(folder).read_bytes()
        image_of(folder).write_bytes(content[: int(len(content) * kept)])
        assert the_finding(folder, "D047").startswith(
            "imagesTr/case_1_0000.nii.gz is cut off: its gzip stream breaks off"
        )

    def test_a_cut_uncompressed_file(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, ending=".nii")
        image = folder / "imagesTr/case_1_0000.nii"
        image.write_bytes(image.read_bytes()[:-10])
        assert "its header promises 480 bytes of voxels, more than it can hold" in the_finding(folder, "D047")

    def test_an_intact_gzip_file_with_too_few_voxels(self, folder: Path) -> None:
        content = gzip.decompress(image_of(folder).read_bytes())
        image_of(folder).write_bytes(gzip.compress(content[:-10]))
        assert "it has 470 of the 480 bytes of voxels" in the_finding(folder, "D047")

    def test_one_flipped_bit_is_found_wherever_it_is(self, folder: Path) -> None:
        content = image_of(folder).read_bytes()
        for position in range(12, len(content), 37):  # behind gzip's own header, which has no checksum
            damaged = bytearray(content)
            damaged[position] ^= 0x10
            image_of(folder).write_bytes(damaged)
            assert {finding.code for finding in inspect(folder).errors} & {"D047", "D048", "D049"}, position

    def test_a_wrong_checksum(self, folder: Path) -> None:
        content = bytearray(image_of(folder).read_bytes())
        content[-8] ^= 1
        image_of(folder).write_bytes(content)
        assert "is damaged: CRC check failed" in the_finding(folder, "D048")

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "is empty (0 bytes); copy or download it again"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "it is a Git LFS pointer, not the image itself",
            ),
            (b"\n<!DOCTYPE html><html>404</html>", "it is an HTML or XML page, probably the error page of a download"),
            (b"\0\5\x16\7\0\2\0\0Mac OS X", "it is a resource file that macOS writes beside the real one"),
            (b"PK\3\4....", "it is a ZIP archive; unpack it"),
            (b"\0" * 128 + b"DICM....", "it is a DICOM file; convert the series to NIfTI"),
            (b"hello", "its first bytes are those of something else"),
            (gzip.compress(b"hello", mtime=0), "its first bytes are those of something else"),
        ],
    )
    def test_what_is_no_image_is_named_for_what_it_is(self, folder: Path, content: Any, sentence: str) -> None:
        image_of(folder).write_bytes(content)
        assert sentence in the_finding(folder, "D049")

    def test_a_compressed_file_under_an_uncompressed_name(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, ending=".nii")
        image = folder / "imagesTr/case_1_0000.nii"
        image.write_bytes(gzip.compress(image.read_bytes()))
        assert "is compressed although its name ends in .nii" in the_finding(folder, "D049")

    def test_an_uncompressed_file_under_a_compressed_name_is_read_with_a_warning(self, folder: Path) -> None:
        image_of(folder).write_bytes(gzip.decompress(image_of(folder).read_bytes()))
        assert "is not compressed although its name ends in .gz" in the_finding(folder, "D049")
        assert inspect(folder).errors == ()

    def test_a_header_that_promises_a_terabyte_costs_no_memory(self, folder: Path) -> None:
        content = bytearray(gzip.decompress(image_of(folder).read_bytes()))
        content[42:48] = np.array([30_000, 30_000, 30_000], "<i2").tobytes()
        image_of(folder).write_bytes(gzip.compress(bytes(content)))
        assert "its header promises 108000000000000 bytes of voxels" in the_finding(folder, "D047")

    @pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
    def test_a_file_that_must_not_be_read(self, folder: Path) -> None:
        image_of(folder).chmod(0)
        assert "cannot be read: Permission denied" in the_finding(folder, "D053")

    def test_a_file_that_the_system_opens_and_does_not_give(self, folder: Path) -> None:
        image_of(folder).unlink()
        image_of(folder).symlink_to("/proc/self/mem")  # nothing is at address 0; root cannot read it either
        assert the_finding(folder, "D053") == "imagesTr/case_1_0000.nii.gz cannot be read: Input/output error."

    def test_many_damaged_files_are_all_reported_and_the_text_stays_short(self, folder: Path) -> None:
        for case in range(6):
            label_of(folder, case).write_bytes(b"")
        write_json(folder / "dataset.json", tiny_json(n_training=7))
        with pytest.raises(DatasetError) as caught:
            inspect(folder).refuse_errors()
        lines = str(caught.value).splitlines()
        assert lines[0] == "Dataset001_Tiny has 7 problems:"
        assert [line[:4] for line in lines[1:]] == ["D016", *["D049"] * 6]
        assert lines[-1] == "D049 ... and 1 more of this kind, 6 in all."

    @given(offset=st.integers(0, 351), values=st.binary(min_size=1, max_size=8))
    @example(offset=317, values=b"\x00\x81\x7f")  # a signalling NaN in the affine
    @settings(max_examples=300, deadline=None)
    def test_no_header_ends_in_a_traceback(
        self, tmp_path_factory: pytest.TempPathFactory, offset: Any, values: Any
    ) -> None:
        image = nibabel.Nifti1Image(tiny_image(), np.diag([1.0, 1, 2, 1])).to_bytes()
        path = tmp_path_factory.getbasetemp() / "fuzz.nii"
        path.write_bytes(image[:offset] + values + image[offset + len(values) :])
        try:
            volume = nifti.read_volume(path)
        except nifti.VolumeError:
            return
        assert volume.stored.size <= 480
