import os
import tempfile
import time
from pathlib import Path

import pytest

from nnunet_assets.core.files.file_age import age_seconds


def test_an_age_is_what_the_file_server_says_whatever_this_machine_s_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "being_written"
    file.touch()
    monkeypatch.setattr(time, "time", lambda: file.stat().st_mtime + 3600)
    assert 0 <= age_seconds(file) < 60
    os.utime(file, (0, file.stat().st_mtime - 100))
    assert age_seconds(file) == pytest.approx(100, abs=60)
    assert [path.name for path in tmp_path.iterdir()] == ["being_written"]


def test_where_nothing_can_be_stamped_this_machine_s_clock_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError

    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert abs(age_seconds(file) - (time.time() - file.stat().st_mtime)) < 1


def test_what_is_gone_has_no_age(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        age_seconds(tmp_path / "gone")
