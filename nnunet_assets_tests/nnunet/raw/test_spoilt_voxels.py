"""Values and places of voxels that nnU-Net would take in silence, or stop at."""

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets_tests.nnunet.raw.tiny_dataset import image_of, inspect, label_of, the_finding
from nnunet_assets_tests.raw_builders import (
    DATASET,
    SHAPE,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)


class TestVoxels:
    def test_nan_and_infinity_are_found_where_nnunet_reads_zero(self, folder: Path) -> None:
        image = tiny_image()
        image[1, 2, 3] = np.nan
        image[2, 0, 0] = np.nan
        image[0, 0, 1] = -np.inf
        write_volume(image_of(folder), image)
        messages = {finding.code: finding.message for finding in inspect(folder).errors}
        assert messages["D031"].startswith(
            "imagesTr/case_1_0000.nii.gz has 2 voxels of NaN, the first at index (1, 2, 3)."
        )
        assert messages["D032"].startswith(
            "imagesTr/case_1_0000.nii.gz has 1 voxel of infinity, the first at index (0, 0, 1)."
        )

    def test_an_image_of_one_value_is_worth_a_warning(self, folder: Path) -> None:
        write_volume(image_of(folder), np.full(SHAPE, 7, np.int16))
        assert the_finding(folder, "D034").startswith("imagesTr/case_1_0000.nii.gz has the same value in every voxel")

    def test_an_undeclared_label_value_is_named_with_case_and_count(self, folder: Path) -> None:
        label = tiny_label()
        label[3, :2, 5] = 3
        label[0, 0, 0] = 200
        write_volume(label_of(folder), label)
        found = inspect(folder)
        assert [(finding.code, finding.case, finding.file) for finding in found.errors] == [
            ("D039", "case_1", "labelsTr/case_1.nii.gz")
        ]
        assert found.errors[0].message.startswith(
            "labelsTr/case_1.nii.gz has values that dataset.json does not declare: 3 (2 voxels), 200 (1 voxel); "
            "it declares 0, 1, 2."
        )
        assert found.labels["organ"].n_cases == 6

    def test_a_negative_label_is_undeclared(self, folder: Path) -> None:
        write_volume(label_of(folder), -tiny_label().astype(np.int16))
        assert "-2 (2 voxels), -1 (8 voxels)" in the_finding(folder, "D039")

    def test_a_label_between_whole_numbers(self, folder: Path) -> None:
        label = tiny_label().astype(np.float32)
        label[0, 0, :3] = (0.5, 1.5, np.nan)
        write_volume(label_of(folder), label)
        assert the_finding(folder, "D040").startswith(
            "labelsTr/case_1.nii.gz has 3 voxels between whole numbers (0.5, 1.5, nan). A label image needs whole"
        )

    def test_an_empty_label_is_worth_a_warning(self, folder: Path) -> None:
        write_volume(label_of(folder), np.zeros(SHAPE, np.uint8))
        assert the_finding(folder, "D035").startswith("labelsTr/case_1.nii.gz is all background")

    def test_no_foreground_anywhere_is_an_error(self, folder: Path) -> None:
        for case in range(6):
            write_volume(label_of(folder, case), np.zeros(SHAPE, np.uint8))
        assert [finding.message for finding in inspect(folder).errors] == [
            "No case holds any of organ, lesion: there is nothing to learn. Check the label images."
        ]

    def test_a_declared_label_in_no_case_is_a_warning(self, folder: Path) -> None:
        labels = {"background": 0, "organ": 1, "lesion": 2, "cyst": 3}
        write_json(folder / "dataset.json", tiny_json(labels=labels))
        assert the_finding(folder, "D037").startswith("The label 'cyst' is in no case; its dice will be undefined.")
        assert inspect(folder).labels["cyst"].volume_ml is None

    def test_a_label_in_fewer_cases_than_folds_is_a_warning(self, folder: Path) -> None:
        for case in range(4):
            write_volume(label_of(folder, case), np.minimum(tiny_label(), 1))
        assert the_finding(folder, "D038").startswith("The label 'lesion' is in 2 cases only, so some of 3 folds")


class TestGeometry:
    def test_a_label_of_another_shape(self, folder: Path) -> None:
        write_volume(label_of(folder), tiny_label()[:, :, :5])
        assert the_finding(folder, "D041").startswith(
            "labelsTr/case_1.nii.gz has the shape 4 × 5 × 5, but imagesTr/case_1_0000.nii.gz has 4 × 5 × 6."
        )

    def test_a_channel_of_another_shape(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, n_channels=2)
        write_volume(folder / "imagesTr/case_2_0001.nii.gz", tiny_image(7)[:3])
        assert the_finding(folder, "D041").startswith("imagesTr/case_2_0001.nii.gz has the shape 3 × 5 × 6, but")

    def test_another_spacing(self, folder: Path) -> None:
        write_volume(label_of(folder), tiny_label(), spacing_mm=(1.0, 1.0, 2.5))
        assert the_finding(folder, "D042").startswith(
            "labelsTr/case_1.nii.gz has the spacing 1 × 1 × 2.5 mm, but imagesTr/case_1_0000.nii.gz has 1 × 1 × 2 mm."
        )

    @pytest.mark.parametrize(("mm", "allowance"), [(3, "3"), (0.0123, "0.02")])
    def test_another_origin_is_an_error_that_tells_how_to_allow_it(
        self, folder: Path, mm: float, allowance: str
    ) -> None:
        write_volume(label_of(folder), tiny_label(), origin_mm=(0, mm, 0))
        message = the_finding(folder, "D043")
        assert message.startswith(f"labelsTr/case_1.nii.gz lies {mm} mm away from imagesTr/case_1_0000")
        assert f"set the dataset's `repair_headers_mm` to {allowance} or more, which gives it that header" in message
        assert [finding.code for finding in inspect(folder).errors] == ["D043"]
        roots = Roots(folder.parent, folder.parent / "preprocessed", folder.parent / "results")
        assert look_at_raw_data(roots, DATASET, 3, Curation({}, float(allowance)))[0].findings == ()

    def test_a_flipped_axis_is_seen_too(self, folder: Path) -> None:
        flipped = np.diag([-1.0, 1, 2, 1])
        nibabel.Nifti1Image(tiny_label(), flipped).to_filename(label_of(folder))
        assert the_finding(folder, "D043").startswith("labelsTr/case_1.nii.gz lies 6 mm away")

    def test_a_spacing_of_zero(self, folder: Path) -> None:
        for path in (image_of(folder), label_of(folder)):
            image = nibabel.Nifti1Image(np.asarray(nibabel.load(path).dataobj), np.diag([1.0, 1, 2, 1]))
            image.header["pixdim"][1] = 0
            path.write_bytes(gzip.compress(image.to_bytes()))
        found = [finding for finding in inspect(folder).findings if finding.case == "case_1"]
        assert [(finding.code, finding.severity) for finding in found] == 2 * [("D045", "warning")]
        assert "has the voxel sizes 0 × 1 × 2 in its header (pixdim), which are no sizes" in found[0].message
        assert "nnU-Net reads a spacing of 1 × 1 × 2 mm" in found[0].message

    @pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4, 5, 6, 1, 3), (4,)])
    def test_images_without_three_axes(self, folder: Path, shape: tuple[Any, ...]) -> None:
        write_volume(image_of(folder), np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
        text = " × ".join(map(str, shape))
        assert the_finding(folder, "D046").startswith(
            f"imagesTr/case_1_0000.nii.gz has the shape {text}; nnU-Net needs three"
        )

    def test_a_fourth_axis_of_length_one_is_dropped_as_itk_does(self, folder: Path) -> None:
        write_volume(image_of(folder), tiny_image(1)[..., None])
        assert inspect(folder).findings == ()

    def test_colours_are_refused(self, folder: Path) -> None:
        rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
        write_volume(image_of(folder), rgb)
        assert "has colours or complex numbers as voxels" in the_finding(folder, "D046")
