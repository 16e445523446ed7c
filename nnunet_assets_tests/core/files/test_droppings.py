from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.droppings import droppings_in, is_dropping, passed_over


@pytest.mark.parametrize(
    "name",
    [
        *("._case_0_0000.nii.gz", ".DS_Store", ".nfs000123", ".~lock.x.csv#", "Thumbs.db", "THUMBS.DB", "ehthumbs.db"),
        *("desktop.ini", "Desktop.ini", "~$case.png", "case.png~", "#case.png#", "@eaDir", "$RECYCLE.BIN", "__MACOSX"),
        *("System Volume Information", "Icon\r", ".hidden.tif", "lost+found", "case.png:Zone.Identifier", "#recycle"),
        *("case.png@SynoEAStream", ".ipynb_checkpoints", ".Spotlight-V100", "Network Trash Folder"),
    ],
)
def test_what_other_systems_leave_is_no_part_of_a_dataset(name: Any) -> None:
    assert is_dropping(name)


@pytest.mark.parametrize(
    "name",
    ["case_0_0000.nii.gz", "_case.nii.gz", "a.DS_Store.nii.gz", "thumbs.db.png", "$case.png", "a~b.png", "", "#1"],
)
def test_a_case_may_have_any_other_name(name: str) -> None:
    assert not is_dropping(name)


def test_one_sentence_is_said_of_all_but_what_a_person_hid(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    for name in ("._a.png", ".DS_Store", ".gitignore", ".hidden.png", "Thumbs.db", "a.png"):
        (tmp_path / "imagesTr" / name).touch()
    found = droppings_in([tmp_path / "imagesTr", tmp_path / "not there"], ".png")
    assert found == ["imagesTr/.DS_Store", "imagesTr/._a.png", "imagesTr/.hidden.png", "imagesTr/Thumbs.db"]
    assert passed_over(found[:1]) == (
        "1 file that other systems leave beside one's own is passed over: imagesTr/.DS_Store."
    )
    assert passed_over(found[:2], ", also by nnU-Net") == (
        "2 files that other systems leave beside one's own are passed over, also by nnU-Net: imagesTr/.DS_Store, "
        "imagesTr/._a.png."
    )
