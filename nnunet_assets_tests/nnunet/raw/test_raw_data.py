import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.image_reader import dataset_reader, reader_class
from nnunet_assets.nnunet.importing.import_described import plan_described
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.raw.raw_data import RawDataset, Spread, inspect_raw_dataset
from nnunet_assets_tests.raw_builders import (
    DATASET,
    REAL_DATA,
    SHAPE,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)
from nnunet_assets_tests.recorded_progress import RecordedProgress


def inspect(folder: Path, n_folds: int = 3) -> RawDataset:
    return inspect_raw_dataset(folder.parent, folder.name, n_folds)


def the_finding(folder: Path, code: str, n_folds: int = 3) -> str:
    """Returns the message of the one finding that a spoiled dataset has, and checks its code."""
    findings = inspect(folder, n_folds).findings
    assert [finding.code for finding in findings] == [code], findings
    return findings[0].message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good dataset of six cases, one channel, labels organ (8 voxels) and lesion (2 voxels) in each."""
    return write_tiny_dataset(tmp_path, n_cases=6)


def image_of(folder: Path, case: int = 1) -> Path:
    return folder / f"imagesTr/case_{case}_0000.nii.gz"


def label_of(folder: Path, case: int = 1) -> Path:
    return folder / f"labelsTr/case_{case}.nii.gz"


class TestAGoodDataset:
    def test_nothing_is_found_wrong(self, folder: Path) -> None:
        assert inspect(folder).findings == ()
        inspect(folder).refuse_errors()

    def test_its_cases_and_statistics_are_told(self, folder: Path) -> None:
        write_volume(image_of(folder, 5), tiny_image(5), spacing_mm=(1.5, 1.0, 2.0))
        write_volume(label_of(folder, 5), tiny_label() // 2, spacing_mm=(1.5, 1.0, 2.0))
        found = inspect(folder)
        assert found.cases == ("case_0", "case_1", "case_2", "case_3", "case_4", "case_5")
        assert found.n_cases == 6
        assert found.spacing_mm == (Spread(1.0, 1.0, 1.5), Spread(1.0, 1.0, 1.0), Spread(2.0, 2.0, 2.0))
        assert found.shape == tuple(Spread(n, n, n) for n in SHAPE)
        # Five cases with 8 voxels of 2 mm³ = 0.016 ml; the sixth, where lesion became organ, has 2 of 3 mm³.
        assert found.labels["organ"].n_cases == 6
        assert found.labels["organ"].volume_ml == Spread(0.016, pytest.approx(0.006), 0.016)  # type: ignore[arg-type]
        assert found.labels["lesion"].n_cases == 5
        assert found.labels["lesion"].volume_ml == Spread(0.004, 0.004, 0.004)

    def test_a_region_counts_all_its_values(self, folder: Path) -> None:
        labels = {"background": 0, "whole": [1, 2], "lesion": 2}
        write_json(folder / "dataset.json", tiny_json(labels=labels, regions_class_order=[1, 2]))
        assert inspect(folder).labels["whole"].volume_ml == Spread(0.02, 0.02, 0.02)

    def test_progress_counts_every_case_once(self, folder: Path) -> None:
        progress = RecordedProgress()
        inspect_raw_dataset(folder.parent, DATASET, 3, progress)
        assert progress.steps == [("cases read", n, 6) for n in range(1, 7)]

    @pytest.mark.parametrize("case", ["with space", "mit-Ümläut-患者", "a;$(b)", "x.y_z"])
    def test_any_file_name_may_name_a_case(self, folder: Path, case: str) -> None:
        image_of(folder).rename(folder / f"imagesTr/{case}_0000.nii.gz")
        label_of(folder).rename(folder / f"labelsTr/{case}.nii.gz")
        found = inspect(folder)
        assert found.findings == ()
        assert case in found.cases

    @pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.float32, np.float64, ">i2", ">f4"])
    def test_any_type_of_whole_numbers_may_hold_the_labels(self, folder: Path, dtype: Any) -> None:
        write_volume(label_of(folder), tiny_label().astype(dtype))
        assert inspect(folder).findings == ()

    def test_scaled_labels_are_read_with_their_scale(self, folder: Path) -> None:
        image = nibabel.Nifti1Image(tiny_label() * 10, np.diag([1, 1, 2, 1]))
        image.header.set_slope_inter(0.1, 0)
        nifti.write_nifti(label_of(folder), image)
        assert inspect(folder).errors == ()

    def test_uncompressed_and_two_dimensional_images_work_as_in_nnunet(self, tmp_path: Path) -> None:
        assert inspect(write_tiny_dataset(tmp_path, ending=".nii")).findings == ()
        flat = write_tiny_dataset(tmp_path, "Dataset002_Flat")
        for case in range(6):
            write_volume(image_of(flat, case), tiny_image(case)[:, :, 2])
            write_volume(label_of(flat, case), tiny_label()[:, :, 2])
        found = inspect(flat)
        assert [finding.code for finding in found.errors] == []
        assert len(found.shape) == 2


class TestTheContentHash:
    def test_it_does_not_depend_on_place_time_or_order(self, folder: Path, tmp_path: Path) -> None:
        copy = tmp_path / "elsewhere" / DATASET
        for path in sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True):
            target = copy / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            os.utime(target, (1e9, 1e9))
        content = (folder / "dataset.json").read_text()
        (copy / "dataset.json").write_text(content.replace(", ", ",\n"))
        assert inspect(copy).content_hash == inspect(folder).content_hash

    def test_an_edited_label_changes_it_even_with_its_old_time(self, folder: Path) -> None:
        before, times = inspect(folder).content_hash, label_of(folder).stat()
        label = tiny_label()
        label[0, 0, 0] = 1
        write_volume(label_of(folder), label)
        os.utime(label_of(folder), ns=(times.st_atime_ns, times.st_mtime_ns))
        assert inspect(folder).content_hash != before

    def test_images_that_change_places_change_it(self, folder: Path) -> None:
        before = inspect(folder).content_hash
        image_of(folder, 1).rename(folder / "swap")
        image_of(folder, 2).rename(image_of(folder, 1))
        (folder / "swap").rename(image_of(folder, 2))
        assert inspect(folder).content_hash != before

    @pytest.mark.parametrize("name", ["case_1a", "another"], ids=["in the same order", "in another order"])
    def test_another_name_of_a_case_changes_it_though_no_content_does(self, folder: Path, name: str) -> None:
        before = inspect(folder).content_hash
        image_of(folder).rename(folder / f"imagesTr/{name}_0000.nii.gz")
        label_of(folder).rename(folder / f"labelsTr/{name}.nii.gz")
        assert inspect(folder).content_hash != before

    def test_another_dataset_json_changes_it(self, folder: Path) -> None:
        before = inspect(folder).content_hash
        write_json(folder / "dataset.json", tiny_json(labels={"background": 0, "liver": 1, "lesion": 2}))
        assert inspect(folder).content_hash != before

    def test_a_damaged_file_counts_with_its_bytes(self, folder: Path) -> None:
        hashes = set()
        for content in (b"", b"<html>", b"<HTML>"):
            label_of(folder).write_bytes(content)
            hashes.add(inspect(folder).content_hash)
        assert len(hashes) == 3


class TestADatasetThatIsNotThere:
    def test_a_missing_root_says_how_to_set_it(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"The folder of raw datasets, .*absent, does not exist\. .*nnUNet_raw"):
            inspect_raw_dataset(tmp_path / "absent", DATASET, 5)

    def test_a_missing_dataset_says_which_there_are(self, folder: Path) -> None:
        with pytest.raises(
            DatasetError,
            match=r"no Dataset001_Tinny in .*, which holds Dataset001_Tiny\. Did you mean .*\?",
        ):
            inspect_raw_dataset(folder.parent, "Dataset001_Tinny", 5)

    @pytest.mark.parametrize("name", ["Dataset4_x", "Dataset004 x", "../Dataset001_x", "dataset001_x", "Dataset001_"])
    def test_a_name_that_is_none_is_refused(self, folder: Path, name: str) -> None:
        with pytest.raises(DatasetError, match=r"D062 .* is not a dataset name\. nnU-Net's form is Dataset, three"):
            inspect_raw_dataset(folder.parent, name, 5)

    def test_a_broken_dataset_json_stops_the_look(self, folder: Path) -> None:
        write_json(folder / "dataset.json", tiny_json(file_ending="nii.gz"))
        with pytest.raises(DatasetError, match=r'dataset\.json has 1 problem:\nD018 .*Did you mean "\.nii\.gz"\?'):
            inspect(folder)

    def test_two_datasets_of_one_id_are_named(self, folder: Path) -> None:
        (folder.parent / "Dataset001_Other").mkdir()
        assert the_finding(folder, "D062").startswith("Dataset001_Other in ")


class TestFileNames:
    def test_a_missing_label(self, folder: Path) -> None:
        label_of(folder).unlink()
        assert the_finding(folder, "D026").startswith(
            "Case 'case_1' has images, but no label labelsTr/case_1.nii.gz. Add the label"
        )

    def test_a_label_without_image_is_only_a_warning(self, folder: Path) -> None:
        write_volume(folder / "labelsTr/extra.nii.gz", tiny_label())
        found = inspect(folder)
        assert [finding.code for finding in found.warnings] == ["D027"]
        assert found.warnings[0].message.startswith("labelsTr/extra.nii.gz has no image imagesTr/extra_0000.nii.gz")
        assert found.errors == ()
        assert found.n_cases == 6

    def test_a_missing_channel(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, n_channels=2)
        (folder / "imagesTr/case_3_0000.nii.gz").unlink()
        assert the_finding(folder, "D022") == (
            "Case 'case_3' has _0001, but dataset.json declares 2 channels: _0000 (MRI 0), _0001 (MRI 1). "
            "Every case needs one file a channel."
        )

    def test_a_channel_too_many(self, folder: Path) -> None:
        write_volume(folder / "imagesTr/case_1_0001.nii.gz", tiny_image(99))
        assert the_finding(folder, "D022").startswith(
            "Case 'case_1' has _0000, _0001, but dataset.json declares 1 channel"
        )

    def test_an_image_without_channel_number(self, folder: Path) -> None:
        image_of(folder).rename(folder / "imagesTr/case_1.nii.gz")
        write_json(folder / "dataset.json", tiny_json(n_training=5))
        assert the_finding(folder, "D025", n_folds=2).startswith("imagesTr/case_1.nii.gz has no channel number")

    def test_no_images_at_all(self, folder: Path) -> None:
        shutil.rmtree(folder / "imagesTr")
        codes = [finding.code for finding in inspect(folder).errors]
        assert codes == ["D028"]
        (folder / "imagesTr").mkdir()
        found = inspect(folder)
        assert found.errors[0].message.startswith("imagesTr holds no file that ends in .nii.gz")
        assert (found.cases, found.spacing_mm, found.shape, found.labels) == ((), None, None, {})

    def test_files_of_another_ending(self, folder: Path) -> None:
        write_json(folder / "dataset.json", tiny_json(file_ending=".nii"))
        assert the_finding(folder, "D019") == (
            "file_ending is '.nii', but imagesTr has no such file; it has 6 that end in .nii.gz. "
            "Correct file_ending, or convert the files."
        )

    def test_a_link_that_leads_nowhere(self, folder: Path) -> None:
        image_of(folder).unlink()
        image_of(folder).symlink_to("/nowhere/image.nii.gz")
        codes = {finding.code: finding.message for finding in inspect(folder).errors}
        assert codes["D052"].startswith(
            "imagesTr/case_1_0000.nii.gz is a link to /nowhere/image.nii.gz, where no file is."
        )
        assert "D016" in codes

    def test_a_link_to_an_image_elsewhere_is_fine(self, folder: Path, tmp_path: Path) -> None:
        elsewhere = image_of(folder).rename(tmp_path / "original.nii.gz")
        image_of(folder).symlink_to(elsewhere)
        assert inspect(folder).findings == ()


class TestCounts:
    def test_a_wrong_number_of_training_cases(self, folder: Path) -> None:
        write_json(folder / "dataset.json", tiny_json(n_training=7))
        assert the_finding(folder, "D016").startswith(
            'dataset.json says numTraining 7, but 6 training cases were found. If these are all, write "numTraining": 6'
        )

    def test_no_number_of_training_cases_is_a_warning(self, folder: Path) -> None:
        write_json(folder / "dataset.json", tiny_json(numTraining=None))
        assert inspect(folder).errors == ()
        assert the_finding(folder, "D016").startswith(
            "dataset.json has no numTraining, but 6 training cases were found."
        )

    def test_fewer_cases_than_folds(self, folder: Path) -> None:
        assert the_finding(folder, "D029", n_folds=7).startswith("6 cases cannot be split into 7 folds")

    def test_one_validation_case_a_fold_is_worth_a_warning(self, folder: Path) -> None:
        assert the_finding(folder, "D030", n_folds=5).startswith(
            "6 cases in 5 folds leave folds with one validation case"
        )
        assert inspect(folder, n_folds=5).errors == ()

    def test_one_image_under_two_names(self, folder: Path) -> None:
        shutil.copyfile(image_of(folder, 1), image_of(folder, 4))
        assert the_finding(folder, "D054").startswith(
            "The cases case_1, case_4 have the same image, voxel for voxel: in training"
        )

    def test_images_of_one_value_are_no_copies_of_each_other(self, folder: Path) -> None:
        for case in (1, 4):
            write_volume(image_of(folder, case), np.full(SHAPE, 7, np.int16))
        assert sorted(inspect(folder).record.image_hashes) == ["case_0", "case_2", "case_3", "case_5"]

    def test_an_image_shared_in_one_channel_only_makes_no_copy_of_the_case(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, n_channels=2)
        for case in range(1, 6):  # an atlas, say
            shutil.copyfile(folder / "imagesTr/case_0_0001.nii.gz", folder / f"imagesTr/case_{case}_0001.nii.gz")
        assert len(set(inspect(folder).record.image_hashes.values())) == 6


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


class TestOtherLayouts:
    def test_paths_listed_in_dataset_json_are_read_by_nnunets_rules(self, folder: Path, tmp_path: Path) -> None:
        (folder / "imagesTr").rename(tmp_path / "images")
        (folder / "labelsTr").rename(folder / "masks")
        entries = {
            f"patient {n}": {"images": [f"{tmp_path}/images/case_{n}_0000.nii.gz"], "label": f"masks/case_{n}.nii.gz"}
            for n in range(6)
        }
        write_json(folder / "dataset.json", tiny_json(dataset=entries))
        found = inspect(folder)
        assert found.findings == ()
        assert found.cases == tuple(f"patient {n}" for n in range(6))
        assert found.description.raw["dataset"] == entries

    def test_listed_files_that_are_not_there_are_named(self, folder: Path) -> None:
        entries = {
            f"case_{n}": {"images": [str(image_of(folder, n))], "label": str(label_of(folder, n))} for n in range(6)
        }
        entries["case_1"]["label"] = "masks/lost.nii.gz"
        entries["case_2"]["images"] = ["a.nii.gz", "b.nii.gz"]
        write_json(folder / "dataset.json", tiny_json(dataset=entries))
        found = inspect(folder)
        assert [(finding.code, finding.case) for finding in found.errors] == [
            ("D026", "case_1"),
            ("D022", "case_2"),
            ("D022", "case_2"),
            ("D022", "case_2"),
        ]
        assert "masks/lost.nii.gz in dataset.json, which is not there" in found.errors[0].message
        assert found.errors[3].message.startswith("Case 'case_2' has 2 images, but dataset.json declares 1 channel")

    @pytest.mark.parametrize("ending", [".png", ".tif", ".nrrd", ".mha"])
    def test_labels_of_other_formats_are_those_of_nnunets_reader(self, tmp_path: Path, ending: str) -> None:
        folder = tmp_path / DATASET
        for case in range(6):
            for name in (f"imagesTr/case_{case}_0000{ending}", f"labelsTr/case_{case}{ending}"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_other_format(folder / name, seed=case)
        write_json(folder / "dataset.json", tiny_json(file_ending=ending))
        found = inspect(folder)
        # Where a 3D TIFF has no sidecar, that is said.
        assert [finding.code for finding in found.findings] == (["D078"] if ending == ".tif" else [])
        known = tuple(Spread(mm, mm, mm) for mm in ((1.0, 1.0, 1.0) if ending == ".tif" else (0.5, 1.0, 2.0)))
        assert (found.voxels_checked, {name: one.n_cases for name, one in found.labels.items()}) == (
            False,
            {"organ": 6, "lesion": 6},
        )
        assert found.spacing_mm == (None if ending == ".png" else known)
        before = found.content_hash
        write_other_format(folder / f"labelsTr/case_0{ending}", seed=9)
        assert inspect(folder).content_hash != before
        (folder / f"labelsTr/case_0{ending}").unlink()
        assert [finding.code for finding in inspect(folder).errors] == ["D026"]

    @pytest.mark.parametrize("ending", [".tif", ".nrrd", ".mha"])
    def test_what_none_of_nnunets_readers_opens_is_named(self, tmp_path: Path, ending: str) -> None:
        folder = tmp_path / DATASET
        for name in (f"imagesTr/case_0_0000{ending}", f"labelsTr/case_0{ending}"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"root:x:0:0 no image")
        write_json(folder / "dataset.json", tiny_json(file_ending=ending))
        found = [finding for finding in inspect(folder, 1).errors if finding.code == "D045"]
        assert found
        assert not any("root:x" in finding.message for finding in found)


def write_other_format(path: Any, seed: int) -> None:
    import SimpleITK
    import tifffile
    from skimage import io

    voxels = np.random.default_rng(seed).integers(0, 3, (6, 5, 4)).astype(np.uint8)
    if path.suffix == ".png":
        io.imsave(path, voxels[0], check_contrast=False)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, np.repeat(voxels, 2, axis=2))
    else:
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetSpacing((0.5, 1.0, 2.0))
        SimpleITK.WriteImage(image, str(path))


VERIFY = """
import sys
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
if __name__ == "__main__":
    verify_dataset_integrity(sys.argv[1], 1)
"""


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the hippocampus cases are not at {REAL_DATA}")
def test_the_real_hippocampus_cases_are_good_here_and_for_nnunet(tmp_path: Path) -> None:
    roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    imported = plan_described(REAL_DATA, roots.raw, dataset="Dataset004_Hippocampus").carry_out()
    found = inspect_raw_dataset(roots.raw, "Dataset004_Hippocampus", 5)
    # A tenth of this cohort has intensities 400 times those of the others.
    assert [finding.code for finding in found.findings] == ["D072"] * 5
    assert found.errors == ()
    assert (found.n_cases, imported.n_test) == (50, 4)
    assert found.labels["Anterior"].n_cases == found.labels["Posterior"].n_cases == 50
    assert [axis.median for axis in found.spacing_mm] == [1.0, 1.0, 1.0]
    script = tmp_path / "verify.py"
    script.write_text(VERIFY)
    result = subprocess.run(
        [sys.executable, script, imported.folder],
        env=os.environ | roots.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "your dataset is most likely OK" in result.stdout


def test_a_label_image_in_colours_is_named_and_one_in_grey_is_not(tmp_path: Path) -> None:
    from skimage import io

    folder = tmp_path / DATASET
    grey = np.zeros((8, 9), np.uint8)
    grey[2:5, 2:5] = 1
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for n in range(5):
        picture = np.random.default_rng(n).integers(0, 255, (8, 9), np.uint8)
        io.imsave(folder / "imagesTr" / f"case_{n}_0000.png", picture, check_contrast=False)
        label = np.stack([grey] * 3, axis=-1) if n == 2 else grey
        io.imsave(folder / "labelsTr" / f"case_{n}.png", label, check_contrast=False)
    write_json(folder / "dataset.json", tiny_json(5, file_ending=".png"))

    found = inspect_raw_dataset(tmp_path, DATASET, 2)

    of_colours = [finding for finding in found.findings if finding.code == "D046"]
    # One among others: nnU-Net puts both into one batch, and stops.
    assert [(one.case, one.severity) for one in of_colours] == [("case_2", "error"), ("case_2", "warning")]
    assert "labelsTr/case_2.png holds several numbers a voxel, as colours do" in of_colours[1].message


@pytest.mark.parametrize(("bad", "code"), [(np.nan, "D031"), (np.inf, "D032"), (-np.inf, "D032")])
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".tif"])
def test_a_voxel_that_is_no_number_is_named_in_every_format(tmp_path: Path, ending: str, bad: float, code: str) -> None:
    folder = _of_format(tmp_path, ending, lambda image: image.__setitem__((1, 2, 3), bad))

    found = inspect_raw_dataset(tmp_path, DATASET, 2)

    (finding,) = [one for one in found.findings if one.code in ("D031", "D032")]
    assert (finding.code, finding.case, finding.severity) == (code, "case_2", "error")
    assert "1 voxel of" in finding.message
    assert "at index (3, 2, 1)" in finding.message
    assert "takes it as it is" in finding.message
    # nnU-Net's reader does.
    image = folder / "imagesTr" / f"case_2_0000{ending}"
    voxels, _ = reader_class(str(dataset_reader({"file_ending": ending}, image)))().read_images((str(image),))
    assert not np.isfinite(voxels[0, 1, 2, 3])


def test_a_repair_is_proposed_only_where_headers_can_be_repaired(tmp_path: Path) -> None:
    import SimpleITK

    folder = _of_format(tmp_path, ".nrrd", lambda image: None)
    label = folder / "labelsTr" / "case_2.nrrd"
    moved = SimpleITK.ReadImage(str(label))
    moved.SetOrigin((5, 0, 0))
    SimpleITK.WriteImage(moved, str(label))

    (finding,) = inspect_raw_dataset(tmp_path, DATASET, 2).errors

    assert finding.code == "D043"
    assert "repair_headers_mm" not in finding.message
    assert "write the place of the first file into the header of this one" in finding.message


def _of_format(root: Path, ending: str, spoil: Callable[[np.ndarray], object]) -> Path:
    """Writes six cases in a format; the image of `case_2`, axes (z, y, x), is spoilt."""
    import SimpleITK
    import tifffile

    folder = root / DATASET
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    label = np.zeros((5, 6, 7), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    for n in range(6):
        image = np.random.default_rng(n).normal(100, 20, label.shape).astype(np.float32)
        if n == 2:
            spoil(image)
        for array, file in ((image, f"imagesTr/case_{n}_0000{ending}"), (label, f"labelsTr/case_{n}{ending}")):
            if ending == ".tif":
                tifffile.imwrite(folder / file, array)
            else:
                SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(folder / file))
    write_json(folder / "dataset.json", tiny_json(6, file_ending=ending))
    return folder
