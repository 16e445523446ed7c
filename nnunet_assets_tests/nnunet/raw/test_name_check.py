"""Names of cases that nnU-Net's own files have, and names that are too long for a later file."""

import os
from pathlib import Path

import pytest

from nnunet_assets.nnunet.raw import name_check
from nnunet_assets.nnunet.raw.name_check import clashing_names, long_names


@pytest.mark.parametrize(
    ("case", "ending", "reader", "is_named"),
    [
        ("a_seg", ".nii.gz", "SimpleITKIO", True),
        ("a_seg", ".png", "NaturalImage2DIO", True),
        ("a_segmentation", ".nii.gz", "SimpleITKIO", False),
        ("seg", ".nii.gz", "SimpleITKIO", False),
        ("a.nii", ".nii.gz", "SimpleITKIO", True),
        ("a.IMG.gz", ".nii.gz", "SimpleITKIOWithReorient", True),
        ("a.nii", ".nii.gz", "NibabelIO", False),
        ("a.nii", ".nrrd", "SimpleITKIO", False),
        ("a.nii.b", ".nii.gz", "SimpleITKIO", False),
        ("summary", ".tif", "Tiff3DIO", True),
        ("summary", ".tif", "NaturalImage2DIO", False),
        ("summary_1", ".tiff", "Tiff3DIO", False),
    ],
)
def test_a_name_that_nnunet_takes_for_another_is_refused(
    case: str, ending: str, reader: str, *, is_named: bool
) -> None:
    found = list(clashing_names(["case_1", case], ending, reader))
    assert [(one.code, one.severity, one.case) for one in found] == ([("D057", "error", case)] if is_named else [])


class TestNamesThatAreTooLong:
    def test_the_longest_later_name_decides(self, tmp_path: Path) -> None:
        most = os.pathconf(tmp_path, "PC_NAME_MAX")
        fits, too_long = "x" * (most - len("_seg.b2nd")), "ü" * ((most - len("_seg.b2nd")) // 2 + 1)
        found = list(long_names([fits, too_long], ".png", {"nnUNet_results": tmp_path / "not there yet"}))
        assert [(one.code, one.case) for one in found] == [("D058", too_long)]
        (tmp_path / f"{fits}_seg.b2nd").touch()
        with pytest.raises(OSError, match="too long"):
            (tmp_path / f"{too_long}_seg.b2nd").touch()

    def test_of_two_disks_the_stricter_one_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        encrypted = tmp_path / "encrypted"
        monkeypatch.setattr(name_check, "_longest_name", lambda folder: 143 if folder == encrypted else 255)
        folders = {"nnUNet_preprocessed": tmp_path, "nnUNet_results": encrypted}
        assert not list(long_names(["x" * 134], ".nii.gz", folders))
        [found] = long_names(["x" * 135], ".nii.gz", folders)
        assert "names of 144 bytes" in found.message
        assert "the disk of nnUNet_results takes 143" in found.message
        assert "shorter by 1 or more" in found.message
