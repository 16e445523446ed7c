"""What a look at a raw dataset tells of it: its cases and statistics, its content hash, and what does not add up."""

import os
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.importing.import_described import plan_described
from nnunet_assets.nnunet.raw.raw_data import Spread, inspect_raw_dataset
from nnunet_assets_tests.nnunet.raw.tiny_dataset import image_of, inspect, label_of, the_finding
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
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


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the hippocampus cases are not at {REAL_DATA}")
def test_the_real_hippocampus_cases_are_good_here_and_for_nnunet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    imported = plan_described(REAL_DATA, roots.raw, dataset="Dataset004_Hippocampus").carry_out()
    found = inspect_raw_dataset(roots.raw, "Dataset004_Hippocampus", 5)
    # A tenth of this cohort has intensities 400 times those of the others.
    assert [finding.code for finding in found.findings] == ["D072"] * 5
    assert found.errors == ()
    assert (found.n_cases, imported.n_test) == (50, 4)
    assert found.labels["Anterior"].n_cases == found.labels["Posterior"].n_cases == 50
    assert [axis.median for axis in found.spacing_mm] == [1.0, 1.0, 1.0]
    with nnunet_in_process(roots.environment()):
        from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

        verify_dataset_integrity(str(imported.folder), 1)
    assert "your dataset is most likely OK" in capsys.readouterr().out
