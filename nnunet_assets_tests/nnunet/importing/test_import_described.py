import gzip
import json
import os
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.errors import ConfigError, DatasetError
from nnunet_assets.nnunet.importing.import_described import dataset_name, plan_described
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets_tests.raw_builders import (
    old_json,
    tiny_label,
    write_decathlon,
    write_json,
    write_tiny_dataset,
    write_version_1_task,
    write_volume,
)
from nnunet_assets_tests.recorded_progress import RecordedProgress


def names(folder: Any) -> Any:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestADecathlonFolder:
    def test_with_one_channel_its_files_arrive_byte_for_byte_under_nnunets_names(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny", n_cases=3)
        imported = plan_described(source, tmp_path / "raw").carry_out()
        assert (imported.name, imported.n_training, imported.n_test) == ("Dataset004_Tiny", 3, 1)
        assert imported.folder == tmp_path / "raw/Dataset004_Tiny"
        assert names(imported.folder) == [
            "dataset.json",
            *[f"imagesTr/tiny_{n}_0000.nii.gz" for n in range(3)],
            "imagesTs/test_0_0000.nii.gz",
            *[f"labelsTr/tiny_{n}.nii.gz" for n in range(3)],
        ]
        assert file_sha256(imported.folder / "imagesTr/tiny_1_0000.nii.gz") == file_sha256(
            source / "imagesTr/tiny_1.nii.gz"
        )

    def test_its_dataset_json_arrives_in_the_new_form(self, tmp_path: Path) -> None:
        imported = plan_described(write_decathlon(tmp_path / "Task04_Tiny", n_cases=3), tmp_path / "raw").carry_out()
        assert json.loads((imported.folder / "dataset.json").read_text()) == {
            "channel_names": {"0": "MRI 0"},
            "labels": {"background": 0, "organ": 1, "lesion": 2},
            "file_ending": ".nii.gz",
            "numTraining": 3,
            "name": "TINY",
            "licence": "CC-BY-SA 4.0",
        }

    def test_the_result_has_no_findings(self, tmp_path: Path) -> None:
        plan_described(write_decathlon(tmp_path / "Task04_Tiny", n_cases=6, n_channels=2), tmp_path / "raw").carry_out()
        assert inspect_raw_dataset(tmp_path / "raw", "Dataset004_Tiny", 3).findings == ()

    def test_what_was_converted_is_said(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny", n_cases=3, n_channels=2)
        write_json(source / "dataset.json", old_json(["tiny_0", "tiny_1"], {"0": "T1", "1": "T2"}))
        assert plan_described(source, tmp_path / "raw").carry_out().changes == (
            "dataset.json is in nnU-Net v2's form: channels 0 T1, 1 T2; labels 0 background, 1 organ, 2 lesion.",
            "numTraining is 3, as found; it was 2.",
            "4 images with their channels on a fourth axis were split into 2 files each.",
            "3 files were copied under their own names.",
        )
        assert plan_described(
            write_decathlon(tmp_path / "Task05_One"), tmp_path / "raw", link="symlink"
        ).carry_out().changes == (
            "dataset.json is in nnU-Net v2's form: channels 0 MRI 0; labels 0 background, 1 organ, 2 lesion.",
            "4 images were linked under names with nnU-Net's channel number, _0000.nii.gz.",
            "3 files were linked under their own names.",
        )

    @pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
    def test_channels_are_split_without_touching_a_number(self, tmp_path: Path, dtype: Any) -> None:
        source = write_decathlon(tmp_path / "Task01_Tiny", n_channels=3, dtype=dtype)
        imported = plan_described(source, tmp_path / "raw").carry_out()
        four_axes = nibabel.load(source / "imagesTr/tiny_1.nii.gz")
        for channel in range(3):
            image = nibabel.load(imported.folder / f"imagesTr/tiny_1_{channel:04d}.nii.gz")
            np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.asanyarray(four_axes.dataobj)[..., channel])
            np.testing.assert_array_equal(image.affine, four_axes.affine)
            assert image.get_data_dtype() == four_axes.get_data_dtype()
            assert image.header.get_zooms() == four_axes.header.get_zooms()[:3]

    def test_scaled_channels_keep_their_stored_numbers_and_their_scale(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task01_Tiny", n_channels=2)
        stored = np.arange(4 * 5 * 6 * 2, dtype=np.int16).reshape(4, 5, 6, 2)
        image = nibabel.Nifti1Image(stored, np.diag([1.0, 1, 2, 1]))
        image.header.set_slope_inter(0.5, -7)
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"text " * 50))
        (source / "imagesTr/tiny_1.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
        imported = plan_described(source, tmp_path / "raw").carry_out()
        second = nibabel.load(imported.folder / "imagesTr/tiny_1_0001.nii.gz")
        assert (second.dataobj.slope, second.dataobj.inter) == (0.5, -7)
        np.testing.assert_array_equal(second.dataobj.get_unscaled(), stored[..., 1])
        np.testing.assert_array_equal(second.get_fdata(), stored[..., 1] * 0.5 - 7)

    def test_files_that_macos_left_behind_are_left_behind(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        for name in ("imagesTr/._tiny_0.nii.gz", "labelsTr/._tiny_0.nii.gz"):
            (source / name).write_bytes(b"\0\5\x16\7")
        imported = plan_described(source, tmp_path / "raw").carry_out()
        assert imported.n_training == 3
        assert not [name for name in names(imported.folder) if "._" in name]
        assert imported.changes[-1].startswith(
            "2 files that other systems leave beside one's own are passed over: imagesTr/._tiny_0.nii.gz"
        )

    @pytest.mark.parametrize("case", ["scan_seg", "scan.nii"])
    def test_a_name_that_nnunet_takes_for_another_is_refused_before_anything_is_brought(
        self, tmp_path: Path, case: str
    ) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        for subfolder in ("imagesTr", "labelsTr"):
            (source / subfolder / "tiny_1.nii.gz").rename(source / subfolder / f"{case}.nii.gz")
        write_json(source / "dataset.json", old_json(["tiny_0", case, "tiny_2"], {"0": "MRI"}))
        with pytest.raises(DatasetError, match=rf"D057 Case '{case}' ends in .* Rename its files"):
            plan_described(source, tmp_path / "raw").carry_out()
        assert not (tmp_path / "raw").exists()

    def test_names_that_end_like_a_channel_are_still_names(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny", n_cases=1)
        write_volume(source / "imagesTr/scan_0007.nii.gz", tiny_label())
        write_volume(source / "labelsTr/scan_0007.nii.gz", tiny_label())
        imported = plan_described(source, tmp_path / "raw").carry_out()
        assert "imagesTr/scan_0007_0000.nii.gz" in names(imported.folder)


class TestAnNnunetV1Task:
    def test_its_files_keep_their_names(self, tmp_path: Path) -> None:
        source = write_version_1_task(tmp_path / "Task017_Abdomen", n_cases=2, n_channels=2)
        imported = plan_described(source, tmp_path / "raw").carry_out()
        assert (imported.name, imported.n_training, imported.n_test) == ("Dataset017_Abdomen", 2, 0)
        assert names(imported.folder) == names(source)
        assert imported.changes[1:] == ("6 files were copied under their own names.",)

    def test_the_result_has_no_findings(self, tmp_path: Path) -> None:
        plan_described(write_version_1_task(tmp_path / "Task017_Abdomen", n_cases=6), tmp_path / "raw").carry_out()
        assert inspect_raw_dataset(tmp_path / "raw", "Dataset017_Abdomen", 3).findings == ()


class TestLinks:
    def test_a_hardlink_shares_the_file(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        imported = plan_described(source, tmp_path / "raw", link="hardlink").carry_out()
        assert (imported.folder / "labelsTr/tiny_0.nii.gz").samefile(source / "labelsTr/tiny_0.nii.gz")

    def test_a_symlink_leads_to_the_file_wherever_it_was_given_from(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        monkeypatch.chdir(tmp_path)
        imported = plan_described(source.relative_to(tmp_path), tmp_path / "raw", link="symlink").carry_out()
        link = imported.folder / "imagesTr/tiny_0_0000.nii.gz"
        assert link.readlink() == source / "imagesTr/tiny_0.nii.gz"

    def test_a_hardlink_that_cannot_be_says_what_can(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def across_devices(*_: Any) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", across_devices)
        source = write_decathlon(tmp_path / "Task04_Tiny")
        with pytest.raises(DatasetError, match=r"Invalid cross-device link\. Take --link copy or --link symlink\."):
            plan_described(source, tmp_path / "raw", link="hardlink").carry_out()
        assert list((tmp_path / "raw").iterdir()) == []


class TestTheName:
    @pytest.mark.parametrize(
        ("folder", "name"),
        [
            ("Task04_Hippocampus_50", "Dataset004_Hippocampus_50"),
            ("Task120_Massachusetts-Roads", "Dataset120_Massachusetts-Roads"),
            ("Dataset7_Old", "Dataset007_Old"),
        ],
    )
    def test_it_comes_from_the_folder(self, tmp_path: Path, folder: str, name: str) -> None:
        assert dataset_name(tmp_path / folder) == name

    def test_the_id_may_be_another(self, tmp_path: Path) -> None:
        assert dataset_name(tmp_path / "Task04_Heart", dataset_id=204) == "Dataset204_Heart"

    @pytest.mark.parametrize("folder", ["hippocampus", "Task04", "Task04_with space", "Task1234_x"])
    def test_a_folder_of_another_form_needs_a_name(self, tmp_path: Path, folder: str) -> None:
        with pytest.raises(ConfigError, match=f"No dataset name can be made of the folder name '{folder}'.*--name"):
            dataset_name(tmp_path / folder)

    def test_name_and_id_must_agree(self, tmp_path: Path) -> None:
        assert dataset_name(tmp_path, "Dataset004_X", 4) == "Dataset004_X"
        with pytest.raises(ConfigError, match=r"The name Dataset004_X does not have the id 5\. Give one of the two\."):
            dataset_name(tmp_path, "Dataset004_X", 5)

    @pytest.mark.parametrize("dataset_id", [-1, 1000])
    def test_an_id_has_three_digits(self, tmp_path: Path, dataset_id: int) -> None:
        with pytest.raises(ConfigError, match=f"The dataset id {dataset_id} is not a number from 0 to 999"):
            dataset_name(tmp_path / "Task04_X", dataset_id=dataset_id)

    def test_a_wrong_name_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"D062 '\.\./escape' is not a dataset name"):
            plan_described(write_decathlon(tmp_path / "Task04_Tiny"), tmp_path / "raw", dataset="../escape").carry_out()

    def test_nothing_is_written_over(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        plan_described(source, tmp_path / "raw").carry_out()
        with pytest.raises(DatasetError, match=r"raw/Dataset004_Tiny exists and is not written over\."):
            plan_described(source, tmp_path / "raw").carry_out()

    def test_an_id_that_another_dataset_has_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "raw/Dataset004_Heart").mkdir(parents=True)
        with pytest.raises(DatasetError, match=r"The id of Dataset004_Tiny is taken by Dataset004_Heart in .*raw\."):
            plan_described(write_decathlon(tmp_path / "Task04_Tiny"), tmp_path / "raw").carry_out()


class TestSourcesThatCannotBeImported:
    def refused(self, source: Any, sentence: str) -> None:
        raw_root = source.parent / "raw"
        with pytest.raises(DatasetError, match=sentence):
            plan_described(source, raw_root, dataset="Dataset004_Tiny").carry_out()
        assert not raw_root.exists() or list(raw_root.iterdir()) == []

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "Task04_Gone", r"There is no folder .*Task04_Gone\. Give the unpacked dataset's folder")

    def test_a_folder_without_dataset_json(self, tmp_path: Path) -> None:
        self.refused(tmp_path, r"D001 There is no dataset\.json in ")

    def test_a_dataset_of_the_new_form(self, tmp_path: Path) -> None:
        source = write_tiny_dataset(tmp_path / "elsewhere", "Dataset004_Tiny")
        self.refused(source, r"is in nnU-Net v2's form already\. Copy or link its folder into nnUNet_raw")

    def test_a_dataset_that_names_no_channels(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        write_json(source / "dataset.json", {"labels": {"0": "background"}})
        self.refused(source, r"has neither 'modality', as the Medical Segmentation Decathlon and nnU-Net v1 write it")

    def test_labels_that_nnunet_v2_does_not_take(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        content = old_json(["tiny_0"], {"0": "MRI"}, labels={"0": "background", "1": "organ", "3": "lesion"})
        write_json(source / "dataset.json", content)
        self.refused(source, r"converted to nnU-Net v2's form, has 1 problem:\nD010 labels has the values 0, 1, 3")

    def test_missing_labels_and_images_are_named_together(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        (source / "labelsTr/tiny_0.nii.gz").unlink()
        (source / "imagesTr/tiny_2.nii.gz").unlink()
        self.refused(source, r"labelsTr has no file for 1 case: tiny_0\. imagesTr has no file for 1 case: tiny_2\.")

    def test_listed_cases_that_are_not_there(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny")
        write_json(source / "dataset.json", old_json(["tiny_0", "lost"], {"0": "MRI"}))
        self.refused(source, r"labelsTr has no file for 1 case: lost\. imagesTr has no file for 1 case: lost\.")

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        source = tmp_path / "Task04_Tiny"
        write_json(source / "dataset.json", old_json([], {"0": "MRI"}))
        self.refused(source, r"imagesTr and labelsTr hold no file that ends in \.nii\.gz")

    def test_images_with_another_number_of_channels(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny", n_cases=2, n_channels=2)
        write_json(source / "dataset.json", old_json(["tiny_0"], {"0": "T1", "1": "T2", "2": "FLAIR"}))
        self.refused(source, r"but 3 images do not have as many .*tiny_0\.nii\.gz \(4 × 5 × 6 × 2")

    def test_a_cut_image_is_not_split_into_whole_looking_channels(self, tmp_path: Path) -> None:
        source = write_decathlon(tmp_path / "Task04_Tiny", n_channels=2)
        image = source / "imagesTr/tiny_1.nii.gz"
        image.write_bytes(image.read_bytes()[:-20])
        self.refused(source, r"tiny_1\.nii\.gz is cut off: its gzip stream breaks off")

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError(28, "No space left on device")])
    def test_an_interrupted_import_leaves_nothing(self, tmp_path: Path, interruption: Any) -> None:
        def interrupt(n_done: int) -> None:
            if n_done == 4:
                raise interruption

        progress = RecordedProgress(on_step=interrupt)
        with pytest.raises((KeyboardInterrupt, DatasetError)):
            plan_described(write_decathlon(tmp_path / "Task04_Tiny"), tmp_path / "raw").carry_out(progress)
        assert list((tmp_path / "raw").iterdir()) == []

    def test_while_it_runs_nothing_looks_like_a_dataset(self, tmp_path: Path) -> None:
        seen = []

        def look(_n_done: Any) -> None:
            seen.append([path.name for path in (tmp_path / "raw").glob("Dataset*")])

        progress = RecordedProgress(on_step=look)
        plan_described(write_decathlon(tmp_path / "Task04_Tiny"), tmp_path / "raw").carry_out(progress)
        assert seen == [[]] * 7
