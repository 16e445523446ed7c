"""The folder in which processes of one user find each other."""

import stat
import tempfile
from pathlib import Path

import pytest

from nnunet_assets.errors import DeviceError
from nnunet_assets.processes.machine.user_folder import user_folder


def test_the_folder_is_its_users_alone_and_a_link_that_somebody_left_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = user_folder()
    assert (folder.parent, stat.S_IMODE(folder.stat().st_mode)) == (tmp_path, 0o700)
    assert user_folder() == folder
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(DeviceError, match="belongs to somebody else"):
        user_folder()
