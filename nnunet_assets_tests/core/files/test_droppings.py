from typing import Any

import pytest

from nnunet_assets.core.files.droppings import is_dropping


@pytest.mark.parametrize(
    "name",
    [
        *("._case_0_0000.nii.gz", ".DS_Store", ".nfs000123", ".~lock.x.csv#", "Thumbs.db", "THUMBS.DB", "ehthumbs.db"),
        *("desktop.ini", "Desktop.ini", "~$case.png", "case.png~", "#case.png#", "@eaDir", "$RECYCLE.BIN", "__MACOSX"),
        *("System Volume Information", "Icon\r", ".hidden.tif", "lost+found"),
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
