"""Images and labels in any naming, by patterns and by a table."""

import csv
import json
from pathlib import Path
from typing import Any, ClassVar

import nibabel
import numpy as np
import pytest
import tifffile

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import ConfigError, DatasetError
from nnunet_assets.nnunet.importing.import_files import labels_from_file, plan_files
from nnunet_assets.nnunet.importing.planned_import import ImportedDataset
from nnunet_assets.nnunet.importing.source_cases import SourceCases, cases_by_list, cases_by_pattern
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets_tests.raw_builders import tiny_image, tiny_label, write_json, write_tiny_dataset, write_volume
from nnunet_assets_tests.recorded_progress import RecordedProgress

NAME = "Dataset012_Own"
IMAGES, LABELS = "imagesTr_resampled/{case}_{channel}.nii.gz", "labelsTr/{case}.nii.gz"
GIVEN = {"labels": {"background": 0, "organ": 1, "lesion": 2}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A slice-wise trainer's folder: six cases, two channels, in a folder with a space and a letter of its own."""
    folder = write_tiny_dataset(tmp_path, "sö urce", n_channels=2)
    (folder / "imagesTr").rename(folder / "imagesTr_resampled")
    (folder / "dataset.json").unlink()
    return folder


def found(source: Path, channels: tuple[str, ...] = ("T1", "CT"), **changes: Any) -> SourceCases:
    return cases_by_pattern(source, **{"images": IMAGES, "labels": LABELS, "channels": channels, **changes})


def brought(cases: SourceCases, **changes: Any) -> ImportedDataset:
    progress = changes.get("progress", SILENT)
    return plan_files(cases, cases.folder.parent / "raw", NAME, **{"labels": GIVEN, **changes}).carry_out(progress)


def description(imported: ImportedDataset) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((imported.folder / "dataset.json").read_text())
    return content


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestPatterns:
    def test_a_slice_wise_trainers_folder_becomes_a_dataset_without_findings(self, source: Path) -> None:
        imported = brought(found(source))
        assert (imported.name, imported.n_training, imported.n_test) == (NAME, 6, 0)
        assert description(imported) == {
            "channel_names": {"0": "T1", "1": "CT"},
            **GIVEN,
            "numTraining": 6,
            "file_ending": ".nii.gz",
        }
        assert inspect_raw_dataset(imported.folder.parent, NAME, 3).findings == ()
        one = "case_3_0001.nii.gz"
        assert file_sha256(imported.folder / "imagesTr" / one) == file_sha256(source / "imagesTr_resampled" / one)
        assert imported.changes == (
            "dataset.json was made: channels 0 T1, 1 CT; labels 0 background, 1 organ, 2 lesion, as given.",
            "18 files were copied.",
        )

    def test_links_lead_to_the_source(self, source: Path) -> None:
        imported = brought(found(source), link="symlink")
        link = imported.folder / "labelsTr/case_0.nii.gz"
        assert link.readlink() == source / "labelsTr/case_0.nii.gz"
        assert inspect_raw_dataset(imported.folder.parent, NAME, 3).findings == ()

    def test_labels_are_found_in_the_images_and_this_is_said(self, source: Path) -> None:
        progress = RecordedProgress()
        imported = brought(found(source), labels=None, progress=progress)
        assert description(imported)["labels"] == {"background": 0, "label_1": 1, "label_2": 2}
        assert imported.changes[0].endswith(
            "labels 0 background, 1 label_1, 2 label_2, as found in the label images; give them names with --label."
        )
        assert progress.steps == [("files imported", n, 24) for n in range(1, 25)]

    def test_found_labels_with_a_gap_are_refused_with_what_to_renumber(self, source: Path) -> None:
        write_volume(source / "labelsTr/case_3.nii.gz", tiny_label() * 3)
        with pytest.raises(
            DatasetError, match=r"D010 labels has the values 0, 1, 2, 3, 6 without 4, 5.*Renumber 6 to 4"
        ):
            brought(found(source), labels=None)

    def test_a_found_label_between_numbers_is_refused(self, source: Path) -> None:
        write_volume(source / "labelsTr/case_3.nii.gz", tiny_label() * np.float32(0.5))
        with pytest.raises(DatasetError, match=r"case_3\.nii\.gz holds 0\.5; labels are whole numbers"):
            brought(found(source), labels=None)

    def test_channels_by_name_in_the_wanted_order_and_only_those(self, source: Path) -> None:
        for case in range(6):
            for old, new in (("0000", "t1_ce"), ("0001", "flair")):
                path = source / f"imagesTr_resampled/case_{case}_{old}.nii.gz"
                path.rename(path.with_name(f"case_{case}_{new}.nii.gz"))
        cases = found(source, channels=("t1_ce",))
        assert cases.channels == ("t1_ce",)
        assert [file.name for file in cases.training["case_1"].images] == ["case_1_t1_ce.nii.gz"]
        cases = found(source, channels=("t1_ce", "flair"))
        assert [file.name for file in cases.training["case_1"].images] == ["case_1_t1_ce.nii.gz", "case_1_flair.nii.gz"]
        with pytest.raises(ConfigError, match=r"--channel names t1_ce, T2, but the files have t1_ce\."):
            found(source, channels=("t1_ce", "T2"))

    def test_numbered_channels_need_names_and_the_reason_is_said(self, source: Path) -> None:
        with pytest.raises(
            ConfigError, match=r"--channel is given 1 times, but the files have the channels 0000, 0001\."
        ):
            found(source, channels=("MRI",))
        with pytest.raises(ConfigError, match="nnU-Net normalizes a channel by its name, CT in a way of its own"):
            found(source, channels=())

    def test_test_images_go_to_images_ts(self, source: Path) -> None:
        write_volume(source / "test/x 1_0000.nii.gz", tiny_image())
        write_volume(source / "test/x 1_0001.nii.gz", tiny_image())
        imported = brought(found(source, test_images="test/{case}_{channel}.nii.gz"))
        assert imported.n_test == 1
        assert {name for name in files(imported.folder) if "Ts" in name} == {
            *("imagesTs/x_1_0000.nii.gz", "imagesTs/x_1_0001.nii.gz")
        }
        assert "1 cases have other names here, which are safe as file names: 'x 1' is x_1." in imported.changes
        with pytest.raises(DatasetError, match=r"case_0, .* would be training and test cases at once"):
            found(source, test_images=IMAGES)

    def test_names_that_become_one_are_refused(self, source: Path) -> None:
        write_volume(source / "labelsTr/case 3.nii.gz", tiny_label())
        for channel in (0, 1):
            write_volume(source / f"imagesTr_resampled/case 3_000{channel}.nii.gz", tiny_image())
        with pytest.raises(DatasetError, match="would get one name: 'case 3' and 'case_3'"):
            found(source)

    def test_one_case_in_two_files_is_refused(self, source: Path) -> None:
        write_volume(source / "more/case_3.nii.gz", tiny_label())
        with pytest.raises(DatasetError, match=r"would both be the case 'case_3'\. Make the pattern narrower"):
            found(source, labels="*/{case}.nii.gz")

    def test_what_does_not_pair_is_named_together(self, source: Path) -> None:
        (source / "labelsTr/case_3.nii.gz").unlink()
        write_volume(source / "labelsTr/other.nii.gz", tiny_label())
        with pytest.raises(
            DatasetError, match=r"1 case has no file of a label: case_3\. 1 case has no file of an image: other\."
        ):
            found(source)

    def test_a_missing_channel_is_named(self, source: Path) -> None:
        (source / "imagesTr_resampled/case_3_0001.nii.gz").unlink()
        with pytest.raises(
            DatasetError, match=r"1 of 6 cases do not have exactly the channels 0000, 0001: 'case_3' \(0000\)"
        ):
            found(source)

    def test_a_pattern_without_a_match_says_what_is_there(self, source: Path) -> None:
        with pytest.raises(DatasetError, match=r"finds no file in .*, which holds imagesTr_resampled, labelsTr\."):
            found(source, images="imagesTr/{case}_{channel}.nii.gz")

    def test_channels_on_a_fourth_axis_are_split(self, source: Path) -> None:
        voxels = np.stack([tiny_image(1), tiny_image(2), tiny_image(3)], axis=-1)
        for case in range(6):
            write_volume(source / f"all/case_{case}.nii.gz", voxels)
        cases = found(source, images="all/{case}.nii.gz", channels=("A", "B", "C"))
        imported = brought(cases)
        assert "6 images with their channels on a fourth axis were split into 3 files each." in imported.changes
        third = nibabel.load(imported.folder / "imagesTr/case_5_0002.nii.gz")
        np.testing.assert_array_equal(np.asanyarray(third.dataobj), voxels[..., 2])

    def test_another_number_on_the_fourth_axis_is_refused(self, source: Path) -> None:
        cases = found(source, images="imagesTr_resampled/{case}_0000.nii.gz", channels=("A", "B"))
        with pytest.raises(
            DatasetError, match=r"--channel names 2 channels \(A, B\), but 6 images do not hold as many"
        ):
            brought(cases)


class TestEndings:
    @pytest.fixture
    def mixed(self, source: Path) -> SourceCases:
        for path in (source / "labelsTr").iterdir():
            write_volume(path.with_suffix(""), tiny_label())
            path.unlink()
        return found(source, labels="labelsTr/{case}.nii")

    def test_two_endings_are_refused(self, mixed: SourceCases) -> None:
        with pytest.raises(
            DatasetError,
            match=r"end in \.nii\.gz \(12 files\), \.nii \(6 files\)\..*With --compress, \.nii becomes \.nii",
        ):
            brought(mixed)

    def test_and_made_one_where_it_is_asked(self, mixed: SourceCases) -> None:
        imported = brought(mixed, compress=True)
        assert imported.changes[1:] == ("6 files were compressed, .nii to .nii.gz.", "12 files were copied.")
        assert inspect_raw_dataset(imported.folder.parent, NAME, 3).findings == ()

    def test_a_damaged_file_is_not_compressed_into_a_whole_looking_one(self, mixed: SourceCases) -> None:
        label = mixed.training["case_3"].label
        assert label
        label.write_bytes(label.read_bytes()[:-10])
        with pytest.raises(DatasetError, match=r"case_3\.nii is cut off"):
            brought(mixed, compress=True)
        assert list((mixed.folder.parent / "raw").iterdir()) == []

    def test_an_ending_that_nnunet_does_not_know_is_refused(self, source: Path) -> None:
        for path in (source / "labelsTr").iterdir():
            path.rename(path.with_name(path.name.replace(".nii.gz", ".xyz")))
        with pytest.raises(DatasetError, match=r"\.nii\.gz \(12 files\), another ending \(6 files\)"):
            brought(found(source, labels="labelsTr/{case}.xyz"))

    def test_labels_of_other_formats_have_to_be_declared(self, tmp_path: Path) -> None:
        for name in ("images/a.png", "labels/a.png"):
            (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "s" / name).write_bytes(b"png")
        cases = cases_by_pattern(tmp_path / "s", "images/{case}.png", "labels/{case}.png", channels=("R", "G", "B"))
        with pytest.raises(DatasetError, match=r"in label images that end in \.png are not read here"):
            brought(cases, labels=None)
        assert "imagesTr/a_0000.png" in files(brought(cases).folder)


class TestLists:
    def write(self, source: Path, rows: list[dict[str, str]], name: str = "cases.csv") -> Path:
        with (source / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if name.endswith("tsv") else ",")
            writer.writeheader()
            writer.writerows(rows)
        return source / name

    def row(self, case: int, **changes: str) -> dict[str, str]:
        images = {f"image_{name}": f"imagesTr_resampled/case_{case}_000{n}.nii.gz" for n, name in enumerate("AB")}
        row = {"case": f"pat {case}", **images, "label": f"labelsTr/case_{case}.nii.gz", "site": f"s{case % 2}"}
        return row | changes

    @pytest.mark.parametrize("name", ["cases.csv", "cases.tsv"])
    def test_a_table_becomes_a_dataset_and_keeps_its_other_columns(self, source: Path, name: str) -> None:
        table = self.write(source, [self.row(case) for case in range(6)], name)
        imported = brought(cases_by_list(source, table))
        assert description(imported)["channel_names"] == {"0": "A", "1": "B"}
        assert inspect_raw_dataset(imported.folder.parent, NAME, 3).findings == ()
        assert (imported.folder / "cases.csv").read_text().splitlines()[:3] == ["case,site", "pat_0,s0", "pat_1,s1"]
        assert "cases.csv beside dataset.json keeps the columns site." in imported.changes

    def test_the_order_of_channels_may_be_given(self, source: Path) -> None:
        table = self.write(source, [self.row(0)])
        cases = cases_by_list(source, table, channels=("B", "A"))
        assert [file.name for file in cases.training["pat_0"].images] == ["case_0_0001.nii.gz", "case_0_0000.nii.gz"]
        assert cases.channels == ("B", "A")
        with pytest.raises(ConfigError, match=r"--channel names C, but .* has A, B\."):
            cases_by_list(source, table, channels=("C",))

    def test_test_cases_may_do_without_a_label(self, source: Path) -> None:
        rows = [self.row(0, set=""), self.row(1, set="training"), self.row(2, set="test", label="")]
        imported = brought(cases_by_list(source, self.write(source, rows)))
        assert (imported.n_training, imported.n_test) == (2, 1)
        assert "imagesTs/pat_2_0001.nii.gz" in files(imported.folder)

    def test_absolute_paths_and_a_single_image_column(self, source: Path, tmp_path: Path) -> None:
        row = {
            "case": "a",
            "image": str(source / "imagesTr_resampled/case_0_0000.nii.gz"),
            "label": "labelsTr/case_0.nii.gz",
        }
        cases = cases_by_list(source, self.write(source, [row]), channels=("CT",))
        assert cases.columns == ()
        assert "cases.csv" not in files(brought(cases).folder)
        with pytest.raises(ConfigError, match="--channel is given 0 times, but one file holds every channel"):
            cases_by_list(source, self.write(source, [row]))

    def test_all_that_is_wrong_is_said_with_its_line(self, source: Path) -> None:
        rows = [
            self.row(0),
            self.row(0),
            self.row(1, label=""),
            self.row(2, image_B="gone.nii.gz"),
            self.row(3) | {"case": ""},
        ]
        with pytest.raises(DatasetError) as caught:
            cases_by_list(source, self.write(source, rows))
        for sentence in (
            "line 3 has the case 'pat 0' again",
            "line 4 has no label",
            f"line 5: image_B {source / 'gone.nii.gz'} is not there",
            "line 6 has no case",
        ):
            assert sentence in str(caught.value)

    @pytest.mark.parametrize(
        "header", ["", "case,label", "image,label", "case,image,image_A,label", "case,case,image,label"]
    )
    def test_wrong_columns_are_refused(self, source: Path, header: str) -> None:
        (source / "cases.csv").write_text(f"{header}\n")
        with pytest.raises(ConfigError, match="It needs 'case', 'label', and 'image' or one 'image_NAME'"):
            cases_by_list(source, source / "cases.csv")

    def test_a_table_that_cannot_be_read_is_a_sentence(self, source: Path) -> None:
        with pytest.raises(DatasetError, match=r"cases\.csv cannot be read: .*No such file"):
            cases_by_list(source, source / "cases.csv")
        (source / "cases.csv").write_bytes(b"case;\xff\xfe")
        with pytest.raises(DatasetError, match="Save it as CSV in UTF-8"):
            cases_by_list(source, source / "cases.csv")
        (source / "cases.csv").write_text("case,image,label\n")
        with pytest.raises(DatasetError, match="it lists no training case"):
            cases_by_list(source, source / "cases.csv", channels=("CT",))


class TestLabelFiles:
    @pytest.mark.parametrize(
        "content",
        [GIVEN, GIVEN["labels"], {"labels": {"0": "any", "1": "organ", "2": "lesion"}, "modality": {"0": "CT"}}],
    )
    def test_every_form_of_labels_is_read(self, tmp_path: Path, content: dict[str, Any]) -> None:
        assert labels_from_file(write_json(tmp_path / "labels.json", content)) == GIVEN

    def test_regions_come_with_their_order(self, source: Path, tmp_path: Path) -> None:
        content = {"labels": {"background": 0, "whole": [1, 2], "lesion": [2]}, "regions_class_order": [1, 2]}
        given = labels_from_file(write_json(tmp_path / "labels.json", content))
        assert description(brought(found(source), labels=given))["regions_class_order"] == [1, 2]

    def test_wrong_labels_are_refused_before_anything_is_written(self, source: Path) -> None:
        with pytest.raises(DatasetError, match=r"dataset\.json for .* has 1 problem:\nD008 labels has no 'background'"):
            brought(found(source), labels={"labels": {"organ": 1, "rest": 0}})
        assert not (source.parent / "raw").exists()


def test_the_source_is_never_touched(source: Path) -> None:
    def state() -> dict[str, tuple[int, str]]:
        return {name: ((source / name).stat().st_mtime_ns, file_sha256(source / name)) for name in files(source)}

    before = state()
    brought(found(source))
    assert state() == before


def test_a_second_dataset_of_the_id_is_refused_before_anything_is_read(source: Path) -> None:
    (source.parent / "raw/Dataset012_Other").mkdir(parents=True)
    with pytest.raises(DatasetError, match="The id of Dataset012_Own is taken by Dataset012_Other"):
        brought(found(source))


class TestSpacingsOfTiffs:
    """A 3D TIFF has its spacing in a file beside it, which comes along under nnU-Net's name for it."""

    SPACING: ClassVar = {"spacing": [80.0, 7.6, 7.6]}

    @pytest.fixture
    def stacks(self, tmp_path: Path) -> Path:
        folder = tmp_path / "stacks"
        for n in range(6):
            rng = np.random.default_rng(n)
            for name in (f"images/c {n}_EM", f"labels/c {n}"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(folder / f"{name}.tif", rng.integers(0, 3, (10, 12, 14)).astype(np.uint8))
        return folder

    def imported(self, stacks: Path, **changes: Any) -> ImportedDataset:
        return brought(
            found(stacks, ("EM",), images="images/{case}_{channel}.tif", labels="labels/{case}.tif"), **changes
        )

    def spacing(self, imported: ImportedDataset, name: str) -> list[float]:
        from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

        path = str(imported.folder / name)
        _, properties = Tiff3DIO().read_images((path,)) if name.startswith("images") else Tiff3DIO().read_seg(path)
        return list(properties["spacing"])

    @pytest.mark.parametrize("names", ["images/c {}_EM.json", "images/c {}.json", "labels/c {}.json"])
    @pytest.mark.parametrize("link", ["copy", "symlink"])
    def test_come_along_for_image_and_label_however_they_are_named(self, stacks: Path, names: str, link: str) -> None:
        for n in range(6):
            write_json(stacks / names.format(n), self.SPACING)
        imported = self.imported(stacks, link=link)
        for name in ("imagesTr/c_0_0000.tif", "labelsTr/c_0.tif", "imagesTr/c_5_0000.tif"):
            assert self.spacing(imported, name) == self.SPACING["spacing"]
        assert not any("No spacing" in change for change in imported.changes)
        assert inspect_raw_dataset(imported.folder.parent, NAME, 3).findings == ()

    def test_that_are_not_known_are_said_at_import_and_at_every_look(self, stacks: Path) -> None:
        for n in range(4):
            write_json(stacks / f"images/c {n}.json", self.SPACING)
        write_json(stacks / "images/c 4.json", {"microscope": "ours"})
        imported = self.imported(stacks)
        assert any("No spacing is known of 2 of 6 cases (c_4, c_5)" in change for change in imported.changes)
        found = inspect_raw_dataset(imported.folder.parent, NAME, 3).findings
        assert {finding.code for finding in found} == {"D078", "D072"}

    def test_that_are_none_are_refused(self, stacks: Path) -> None:
        write_json(stacks / "images/c 2.json", {"spacing": [1.0, 2.0]})
        with pytest.raises(DatasetError, match=r"c 2\.json holds no spacing of c_2"):
            self.imported(stacks)

    def test_of_flat_tiffs_are_not_looked_for(self, tmp_path: Path) -> None:
        for n in range(6):
            for name in (f"images/c{n}.tif", f"labels/c{n}.tif"):
                (tmp_path / "flat" / name).parent.mkdir(parents=True, exist_ok=True)
                tifffile.imwrite(tmp_path / "flat" / name, np.full((8, 9), n % 2, np.uint8))
        imported = brought(
            found(tmp_path / "flat", ("EM",), images="images/{case}.tif", labels="labels/{case}.tif"), labels=GIVEN
        )
        assert not any("spacing" in change for change in imported.changes)


def test_headers_with_their_voxels_elsewhere_are_refused(tmp_path: Path) -> None:
    import SimpleITK

    for n in range(6):
        for name in (f"images/c{n}", f"labels/c{n}"):
            (tmp_path / "s" / name).parent.mkdir(parents=True, exist_ok=True)
            image = SimpleITK.GetImageFromArray(np.full((4, 5, 6), n, np.uint8))
            SimpleITK.WriteImage(image, str(tmp_path / f"s/{name}.nhdr"))
            (tmp_path / f"s/{name}.nhdr").rename(tmp_path / f"s/{name}.nrrd")
    with pytest.raises(DatasetError, match="12 files are headers whose voxels are in other files"):
        brought(found(tmp_path / "s", ("EM",), images="images/{case}.nrrd", labels="labels/{case}.nrrd"))
