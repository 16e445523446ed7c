"""Which files are a case: by their names, or as dataset.json lists them."""

import shutil
from pathlib import Path

from nnunet_assets_tests.nnunet.raw.tiny_dataset import image_of, inspect, label_of, the_finding
from nnunet_assets_tests.raw_builders import (
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)


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


class TestListedFiles:
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
