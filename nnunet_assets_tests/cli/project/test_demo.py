"""Where the demo runs; that it does is seen by `make demo`, and by the trial of a release."""

from pathlib import Path

import pytest

from nnunet_assets.cli.project.demo import DEMO_FOLDER, _project_folder
from nnunet_assets.settings import is_project


def test_a_new_folder_becomes_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for named, expected in ((Path("tried") / "here", Path("tried/here")), (None, Path(DEMO_FOLDER))):
        assert _project_folder(named) == expected
        assert is_project(tmp_path / expected)


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert _project_folder(None) == tmp_path
    (other := tmp_path / "other").mkdir()
    assert _project_folder(other) == other
    assert not list(other.iterdir())
